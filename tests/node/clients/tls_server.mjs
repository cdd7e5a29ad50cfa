// A TLS 1.3 server by the Node.js that runs this file, in front of a plain HTTP server: decrypted
// bytes go to `to` as they are. Prints one line of JSON when it listens.
import { readFileSync } from 'node:fs';
import { connect } from 'node:net';
import tls from 'node:tls';

const { certificate, key, groups, to } = JSON.parse(process.argv[2]);
const target = new URL(to);
const server = tls.createServer(
  {
    cert: readFileSync(certificate),
    key: readFileSync(key),
    ecdhCurve: groups,
    minVersion: 'TLSv1.3',
  },
  (client) => {
    const upstream = connect(Number(target.port), target.hostname);
    client.pipe(upstream).pipe(client);
    client.on('error', () => upstream.destroy());
    upstream.on('error', () => client.destroy());
  },
);
server.on('tlsClientError', (error) => console.error(`refused: ${error.code} ${error.message}`));
server.listen(0, '127.0.0.1', () => {
  const { port } = server.address();
  console.log(JSON.stringify({ url: `https://127.0.0.1:${port}${target.pathname}` }));
});
