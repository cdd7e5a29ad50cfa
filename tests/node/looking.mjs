// `lockgate crypto probe` on servers that others wrote, whose configuration is known; and the inventory of a live node,
// read by a library that others wrote.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { agile, crypto, lockgate } from './lib/agility.mjs';
import { binary, gateway, newestNode, python, run, scratch, start } from './lib/processes.mjs';
import { end, expect, note, same, section, test } from './lib/tap.mjs';
import { newest, sClient } from './lib/tls_clients.mjs';

const here = (path) => new URL(path, import.meta.url).pathname;
const nginx = process.env.TEST_NGINX;

/** What a report says of an endpoint, in the words of the table below. */
function gist(report) {
  const yes = (offers) => offers.filter(({ answer }) => answer === 'yes');
  const agreed = (offers) => yes(offers).map(({ id, version, name }) => id ?? version ?? name);
  return {
    versions: agreed(report.versions),
    groups: agreed(report.groups).sort(),
    whose: report.group_order.whose,
    ciphers: agreed(report.ciphers).sort(),
    signatures: agreed(report.signatures).sort(),
    key: report.chains[0]?.certificates[0].key,
    alpn: agreed(report.alpn).sort(),
    safe: [report.quantum_safe.key_exchange, report.quantum_safe.authentication],
    moved: report.traditional_share && report.traditional_share.listed_first.moved,
  };
}

const AES = ['TLS_AES_128_GCM_SHA256', 'TLS_AES_256_GCM_SHA384'];
const EVERY_CIPHER = [...AES, 'TLS_CHACHA20_POLY1305_SHA256'];

/**
 * Starts servers: name, how it is started, and what a probe has to find. OpenSSL asks for groups in its own order, and
 * takes what a client has shared already, even if both sides could do better.
 */
const TARGETS = {
  "Debian's nginx": {
    start: (folder) => startNginx(folder, 'ecdsa-p256'),
    found: {
      versions: ['TLSv1.3', 'TLSv1.2'],
      groups: ['X25519', 'secp384r1'],
      whose: 'server',
      ciphers: EVERY_CIPHER,
      signatures: ['ECDSA-P256-SHA256'],
      key: 'ECDSA-P256-SHA256',
      alpn: ['h2', 'http/1.1'],
      safe: [false, false],
      moved: null,
    },
  },
  "Debian's openssl s_server": {
    start: (folder) => startOpenssl(folder, 'rsa-2048', [
      '-groups', 'P-256:X25519', '-serverpref', '-tls1_3', '-ciphersuites', AES.join(':'),
    ]),
    found: {
      versions: ['TLSv1.3'],
      groups: ['X25519', 'secp256r1'],
      whose: 'server',
      ciphers: AES,
      signatures: ['RSA-PSS-SHA256', 'RSA-PSS-SHA384', 'RSA-PSS-SHA512'],
      alpn: [],
      safe: [false, false],
      moved: null,
    },
  },
  'Node.js, hybrid and classical groups': {
    start: (folder) => startNode(folder, 'ecdsa-p256', 'X25519MLKEM768:SecP384r1MLKEM1024:X25519'),
    found: {
      versions: ['TLSv1.3'],
      groups: ['SecP384r1MLKEM1024', 'X25519', 'X25519MLKEM768'],
      whose: 'server',
      ciphers: EVERY_CIPHER,
      signatures: ['ECDSA-P256-SHA256'],
      key: 'ECDSA-P256-SHA256',
      alpn: [],
      safe: [true, false],
      moved: 'traditional',
    },
  },
  'Node.js, post-quantum all through': {
    start: (folder) => startNode(folder, 'ml-dsa-87', 'SecP384r1MLKEM1024:MLKEM1024'),
    found: {
      versions: ['TLSv1.3'],
      groups: ['MLKEM1024', 'SecP384r1MLKEM1024'],
      whose: 'server',
      ciphers: EVERY_CIPHER,
      signatures: ['ML-DSA-87'],
      key: 'ML-DSA-87',
      alpn: [],
      safe: [true, true],
      moved: null,
    },
  },
};

async function startNginx(folder, certificate) {
  const place = scratch('nginx');
  const port = await freePort();
  const config = join(place, 'nginx.conf');
  const kinds = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'];
  const temporary = kinds.map((kind) => `${kind}_temp_path ${place}/${kind};`);
  writeFileSync(config, `
    daemon off; master_process off; pid ${place}/pid; error_log stderr notice;
    events {}
    http {
      access_log off;
      ${temporary.join(' ')}
      server {
        listen 127.0.0.1:${port} ssl http2;
        ssl_certificate ${folder}/${certificate}.pem; ssl_certificate_key ${folder}/${certificate}.key.pem;
        ssl_protocols TLSv1.2 TLSv1.3; ssl_ecdh_curve X25519:secp384r1; ssl_prefer_server_ciphers off;
        return 204;
      }
    }`);
  const ready = (text) => (/start worker|using the|built by/.test(text) ? true : undefined);
  const started = await start(nginx, ['-p', place, '-c', config, '-e', 'stderr'], { ready });
  return { ...started, target: `127.0.0.1:${port}` };
}

async function startOpenssl(folder, certificate, more) {
  const files = ['-cert', join(folder, `${certificate}.pem`), '-key', join(folder, `${certificate}.key.pem`)];
  const started = await start('openssl', ['s_server', '-accept', '127.0.0.1:0', '-www', ...files, ...more], {
    ready: (text) => /^ACCEPT (\S+)$/m.exec(text)?.[1],
  });
  return { ...started, target: started.ready };
}

async function startNode(folder, certificate, groups) {
  const files = { certificate: join(folder, `${certificate}.pem`), key: join(folder, `${certificate}.key.pem`) };
  const options = JSON.stringify({ ...files, groups, to: 'http://127.0.0.1:9/' });
  const started = await start(newestNode, [here('clients/tls_server.mjs'), options]);
  return { ...started, target: new URL(started.ready.url).host };
}

async function freePort() {
  const { createServer } = await import('node:net');
  const server = createServer();
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address();
  await new Promise((resolve) => server.close(resolve));
  return port;
}

async function probe(target) {
  const { code, stdout, stderr } = await run(binary('lockgate'), ['crypto', 'probe', target, '--output', 'json']);
  expect(code === 0, `exit code ${code}: ${stderr}`);
  return JSON.parse(stdout);
}

async function probes() {
  const folder = scratch('certificates');
  const made = await run(python, [here('../python/certificates.py'), folder]);
  expect(made.code === 0, made.stderr);
  for (const [name, { start: begin, found }] of Object.entries(TARGETS)) {
    await test(`probe of ${name}`, async () => {
      const server = await begin(folder);
      const report = await probe(server.target);
      await server.stop();
      same(report.schema, 'lockgate.probe/1', 'the schema');
      const seen = gist(report);
      for (const [part, wanted] of Object.entries(found)) same(seen[part], wanted, part);
      same([report.verdicts.length > 0, report.tolerance.large_hello.answer], [true, 'yes'], 'verdicts, tolerance');
      return `${report.connections} connections, ${report.took_ms} ms`;
    });
  }
  await test('probe of what speaks no TLS says so', async () => {
    const plain = await start(binary('wire-server'), ['--listen', '127.0.0.1:0']);
    const { code, stderr } = await run(binary('lockgate'), ['crypto', 'probe', new URL(plain.ready.url).host]);
    await plain.stop();
    expect(code !== 0 && /TLS/.test(stderr), `exit code ${code}: ${stderr}`);
    return stderr.trim().split('\n')[0];
  });
}

/** What a probe finds on our own listeners is what `crypto show` says is in force there. */
async function ours(wire) {
  const listeners = { transition: 'pq-transition', strict: 'cnsa2' };
  const gate = await agile([`wire=${wire}`], listeners);
  const { places } = await crypto(gate, 'show');
  // One node, one set of certificates: each listener presents those of them that it permits.
  const held = places.flatMap(({ identities }) => identities);
  for (const listener of ['tunnel', 'foreign', ...Object.keys(listeners)]) {
    await test(`probe of our own listener ${listener}: what is in force there`, async () => {
      const place = places.find(({ name }) => name === listener);
      const { host } = new URL(gate.base(listener) ?? gate.ready.endpoint);
      const seen = gist(await probe(host));
      same(seen.groups, place.groups.toSorted(), 'groups');
      same(seen.ciphers, place.ciphers.toSorted(), 'ciphers');
      same(seen.signatures, place.signatures.filter((id) => held.includes(id)).sort(), 'signatures');
      same([seen.versions, seen.safe[0]], [['TLSv1.3'], true], 'versions, and post-quantum key exchange');
      if (listener === 'transition') same(seen.moved, 'quantum_safe', 'a client that shares a curve');
      return seen.whose;
    });
  }
  await test('probe sees a ban', async () => {
    await crypto(gate, 'ban', 'X25519MLKEM768', '--reason', 'test', '--now');
    const seen = gist(await probe(new URL(gate.base('transition')).host));
    expect(!seen.groups.includes('X25519MLKEM768') && seen.groups.includes('SecP256r1MLKEM768'), `${seen.groups}`);
    await crypto(gate, 'lift', 'X25519MLKEM768');
  });
  await inventories(gate);
  await gate.stop();
}

async function inventories(gate) {
  const file = join(scratch('inventory'), 'cbom.json');
  await test('the bill of materials is CycloneDX 1.7 for a library that others wrote', async () => {
    const { code, stdout, stderr } = await run(binary('lockgate'), [
      'crypto', 'inventory', '--format', 'cyclonedx', '--state', gate.state,
    ]);
    expect(code === 0, stderr);
    writeFileSync(file, stdout);
    const read = await run(python, [here('../python/cbom.py'), file]);
    expect(read.code === 0, read.stdout + read.stderr);
    return read.stdout.trim();
  });
  await test('the inventory lists the live link of a foreign client, by what it uses', async () => {
    const { client, close } = await held(gate);
    const { json, said } = await lockgate(gate, 'crypto', 'inventory');
    close();
    expect(json, said);
    const link = json.links.find(({ place }) => place === 'foreign');
    expect(link, `no link in ${said}`);
    same(link.posture.group, client.group, 'the group');
    for (const id of [link.posture.group, link.posture.own_signature, link.posture.cipher]) {
      expect(json.algorithms_in_force.includes(id), `${id} is not in force`);
    }
    expect(json.certificates.some(({ role }) => role === 'root') && json.keys.length > 0, 'no roots or no keys');
    const { certificates, keys, algorithms_in_force: algorithms } = json;
    return `${certificates.length} certificates, ${keys.length} keys, ${algorithms.length} algorithms`;
  });
}

/** A TLS link that stays up and asks nothing. */
async function held(gate) {
  const tls = await import('node:tls');
  const { readFileSync } = await import('node:fs');
  const { hostname: host, port } = new URL(gate.base('foreign'));
  const socket = tls.connect({ host, port, ca: readFileSync(gate.ready.authority), ALPNProtocols: ['http/1.1'] });
  await new Promise((resolve, reject) => socket.once('secureConnect', resolve).once('error', reject));
  return { client: { group: socket.getEphemeralKeyInfo().name }, close: () => socket.destroy() };
}

note((await run(nginx, ['-v'])).stderr.trim());
await section('probe', probes);
const wire = await start(binary('wire-server'), ['--listen', '127.0.0.1:0']);
await section('ours', () => ours(wire.ready.url));
await wire.stop();
end();
