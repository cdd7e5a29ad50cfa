// One request over TLS 1.3 by the Node.js that runs this file, and what its OpenSSL saw: the group,
// the leaf, the cipher. Prints one line of JSON; a refused handshake is an answer too.
import { readFileSync } from 'node:fs';
import http2 from 'node:http2';
import https from 'node:https';

const { url, ca, groups, sigalgs, alpn, get } = JSON.parse(process.argv[2]);
const REQUEST_MS_MAX = 20_000;
const discover = {
  jsonrpc: '2.0',
  id: 1,
  method: 'server/discover',
  params: {
    _meta: {
      'io.modelcontextprotocol/protocolVersion': '2026-07-28',
      'io.modelcontextprotocol/clientCapabilities': {},
    },
  },
};
const headers = {
  'content-type': 'application/json',
  accept: 'application/json, text/event-stream',
  'mcp-protocol-version': '2026-07-28',
  'mcp-method': 'server/discover',
};
const method = get ? 'GET' : 'POST';
const question = get ? undefined : JSON.stringify(discover);
const options = {
  ca: readFileSync(ca),
  ...(groups && { ecdhCurve: groups }),
  ...(sigalgs && { sigalgs }),
};

function seen(socket, status, body) {
  const leaf = socket.getPeerX509Certificate();
  return {
    status,
    group: socket.getEphemeralKeyInfo().name,
    leaf: leaf.publicKey.asymmetricKeyType,
    verified: socket.authorized,
    names: leaf.subjectAltName,
    protocol: socket.getProtocol(),
    cipher: socket.getCipher().standardName,
    alpn: socket.alpnProtocol,
    body: body.slice(0, 2000),
  };
}

function overHttp1(resolve, reject) {
  const request = https.request(url, { method, headers, agent: false, ...options });
  request.on('response', (response) => {
    // The socket is gone from the response once that has ended.
    const { socket } = response;
    let body = '';
    response.setEncoding('utf8').on('data', (text) => (body += text));
    response.on('end', () => resolve(seen(socket, response.statusCode, body)));
  });
  request.on('error', reject).end(question);
}

function overHttp2(resolve, reject) {
  const { origin, pathname } = new URL(url);
  const session = http2.connect(origin, options);
  session.on('error', reject);
  session.on('connect', (_, socket) => {
    const stream = session.request({ ':method': method, ':path': pathname, ...headers });
    let status;
    let body = '';
    stream.on('response', (head) => (status = head[':status']));
    stream.setEncoding('utf8').on('data', (text) => (body += text));
    stream.on('end', () => resolve(seen(socket, status, body)));
    stream.on('error', reject).end(question);
  });
}

setTimeout(() => process.exit(3), REQUEST_MS_MAX).unref();
let result;
try {
  result = await new Promise(alpn === 'h2' ? overHttp2 : overHttp1);
} catch (error) {
  result = { refused: error.code ?? 'error', reason: error.message };
}
console.log(JSON.stringify(result));
process.exit(0);
