// TLS with peers that others wrote: the newest Node.js (OpenSSL 3.5 or later) as client and as
// server, and clients that know classical key exchange only, which must be turned away.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';

import {
  binary, gateway, newestNode, python, run, scratch, start,
} from './lib/processes.mjs';
import { end, expect, note, same, section, test } from './lib/tap.mjs';

const here = (path) => new URL(path, import.meta.url).pathname;
/** Groups of profile `pq-kex`. */
const GROUPS = ['X25519MLKEM768', 'SecP256r1MLKEM768', 'SecP384r1MLKEM1024', 'MLKEM1024'];
const CLASSICAL = 'X25519:P-256:P-384';
const ECDSA_ONLY = 'ecdsa_secp256r1_sha256';
/** What OpenSSL calls an alert from the other side. */
const ALERT = /alert/i;

async function nodeClient(options) {
  const { code, stdout, stderr } = await run(newestNode, [
    here('clients/tls_client.mjs'), JSON.stringify(options),
  ]);
  if (code !== 0) throw new Error(`the client ended with ${code}: ${stderr}`);
  return JSON.parse(stdout);
}

async function version(command, args) {
  const { stdout } = await run(command, args);
  return stdout.trim();
}

async function admitted(gate) {
  const base = { url: gate.foreign('fixture'), ca: gate.ready.authority };
  for (const group of GROUPS) {
    await test(`Node.js client, ${group}: the ML-DSA leaf`, async () => {
      const seen = await nodeClient({ ...base, groups: group });
      expect(!seen.refused, `refused: ${seen.refused} ${seen.reason}`);
      const { status, verified, leaf, protocol } = seen;
      same([seen.group, verified, leaf, protocol, status], [group, true, 'ml-dsa-65', 'TLSv1.3', 200], 'the link');
      return seen.cipher;
    });
    await test(`Node.js client, ${group}, ECDSA only: the ECDSA leaf`, async () => {
      const seen = await nodeClient({ ...base, groups: group, sigalgs: ECDSA_ONLY });
      expect(!seen.refused, `refused: ${seen.refused} ${seen.reason}`);
      same([seen.group, seen.verified, seen.leaf, seen.status], [group, true, 'ec', 200], 'the link');
    });
  }
  await test('Node.js client, its own choice of everything, HTTP/2', async () => {
    const seen = await nodeClient({ ...base, alpn: 'h2' });
    expect(!seen.refused, `refused: ${seen.refused} ${seen.reason}`);
    same([seen.verified, seen.leaf, seen.alpn, seen.status], [true, 'ml-dsa-65', 'h2', 200], 'the link');
    return seen.group;
  });
  await test('Node.js client that lists a classical group first gets a post-quantum one', async () => {
    const seen = await nodeClient({ ...base, groups: `X25519:${GROUPS[0]}` });
    expect(!seen.refused, `refused: ${seen.refused} ${seen.reason}`);
    same(seen.group, GROUPS[0], 'the group');
  });
}

async function refused(name, url, ca) {
  const { hostname, port } = new URL(url);
  await test(`${name} listener refuses a classical Node.js client`, async () => {
    const seen = await nodeClient({ url, ca, groups: CLASSICAL });
    expect(seen.refused && ALERT.test(seen.refused + seen.reason), JSON.stringify(seen));
    return seen.refused;
  });
  await test(`${name} listener refuses Debian's classical OpenSSL`, async () => {
    const args = ['s_client', '-connect', `${hostname}:${port}`, '-tls1_3', '-brief', '-CAfile', ca];
    const { code, stdout, stderr } = await run('openssl', args, { input: 'pipe', text: '' });
    const said = stdout + stderr;
    expect(code !== 0 && ALERT.test(said), `exit code ${code}: ${said}`);
    return /alert [a-z ]+/i.exec(said)?.[0];
  });
  await test(`${name} listener refuses TLS 1.2`, async () => {
    const args = ['s_client', '-connect', `${hostname}:${port}`, '-tls1_2', '-brief'];
    const { code, stdout, stderr } = await run('openssl', args, { input: 'pipe', text: '' });
    expect(code !== 0 && ALERT.test(stdout + stderr), `exit code ${code}: ${stdout + stderr}`);
  });
  await test(`${name} listener refuses the classical TLS of Python`, async () => {
    const program = [
      'import socket, ssl, sys',
      'context = ssl.create_default_context(cafile=sys.argv[3])',
      'with socket.create_connection((sys.argv[1], int(sys.argv[2]))) as plain:',
      '    try:',
      '        context.wrap_socket(plain, server_hostname=sys.argv[1])',
      '    except ssl.SSLError as error:',
      '        print(error)',
      '    else:',
      '        print("admitted")',
    ].join('\n');
    const { stdout } = await run(python, ['-c', program, hostname, port, ca]);
    // A Python on OpenSSL 3.5 would be admitted, and rightly.
    const modern = await version(python, ['-c', 'import ssl; print(ssl.OPENSSL_VERSION_INFO >= (3, 5))']);
    expect(modern === 'True' || ALERT.test(stdout), stdout);
    return stdout.trim();
  });
}

async function listeners(fixture) {
  const gate = await gateway([`fixture=${fixture}`]);
  await admitted(gate);
  await refused('the foreign', gate.foreign('fixture'), gate.ready.authority);
  await refused('the tunnel', gate.url('fixture'), gate.ready.authority);
  await test('the tunnel listener refuses a client that can verify ECDSA only', async () => {
    const seen = await nodeClient({
      url: gate.url('fixture'), ca: gate.ready.authority, groups: GROUPS[0], sigalgs: ECDSA_ONLY,
    });
    expect(seen.refused && ALERT.test(seen.refused + seen.reason), JSON.stringify(seen));
  });
  await test('after all refusals the gateway still answers', async () => {
    const seen = await nodeClient({ url: gate.foreign('fixture'), ca: gate.ready.authority });
    same(seen.status, 200, 'the status');
  });
  await gate.stop();
}

async function transition(fixture) {
  await test('profile pq-transition admits a classical client, and says so', async () => {
    const gate = await gateway([`fixture=${fixture}`], { args: ['--profile', 'pq-transition'] });
    const seen = await nodeClient({
      url: gate.url('fixture'), ca: gate.ready.authority, groups: 'X25519', sigalgs: ECDSA_ONLY,
    });
    expect(!seen.refused, `refused: ${seen.refused} ${seen.reason}`);
    same([seen.group, seen.leaf, seen.verified], ['X25519', 'ec', true], 'the link');
    const preferred = await nodeClient({
      url: gate.url('fixture'), ca: gate.ready.authority, groups: `X25519:${GROUPS[1]}`,
    });
    same(preferred.group, GROUPS[1], 'the group of a client that offers both');
    const audit = await run(binary('lockgate'), [
      'audit', 'tail', '-n', '50', '--state', gate.state, '--output', 'jsonl',
    ]);
    const records = audit.stdout.split('\n').filter(Boolean).map((line) => JSON.parse(line));
    const reported = records.filter((record) => JSON.stringify(record).includes('"X25519"'));
    expect(reported.length > 0, `no record of the classical link in ${audit.stdout || audit.stderr}`);
    await gate.stop();
    return `${reported.length} records name X25519`;
  });
}

/** TLS servers that are not ours, by name: what they present, and whether the gateway may use them. */
function upstreams(folder) {
  const named = (certificate, groups) => ({
    certificate: join(folder, `${certificate}.pem`),
    key: join(folder, `${certificate}.key.pem`),
    roots: join(folder, `${certificate}.root.pem`),
    groups,
  });
  const first = named('ml-dsa-44', GROUPS[0]);
  return {
    good: {
      ...Object.fromEntries(GROUPS.map((group) => [group.toLowerCase(), named('ml-dsa-65', group)])),
      'ml-dsa-44': first,
      'ml-dsa-87': named('ml-dsa-87', GROUPS[2]),
      'ecdsa-p256': named('ecdsa-p256', GROUPS[0]),
      'ecdsa-p384': named('ecdsa-p384', GROUPS[2]),
      ed25519: named('ed25519', GROUPS[1]),
      'rsa-2048': named('rsa-2048', GROUPS[0]),
    },
    bad: {
      classical: named('ml-dsa-65', CLASSICAL),
      expired: { ...first, certificate: join(folder, 'expired.pem') },
      stranger: { ...first, roots: join(folder, 'ml-dsa-65.root.pem') },
    },
  };
}

async function servers(fixture) {
  const folder = scratch('certificates');
  const made = await run(python, [here('../python/certificates.py'), folder]);
  expect(made.code === 0, made.stderr);
  const { good, bad } = upstreams(folder);
  const started = {};
  const config = [];
  for (const [name, plan] of Object.entries({ ...good, ...bad })) {
    const options = JSON.stringify({ ...plan, to: fixture });
    started[name] = await start(newestNode, [here('clients/tls_server.mjs'), options]);
    const { url } = started[name].ready;
    config.push(`[[server]]\nname = "${name}"\nto = "${url}"\nroots = "${plan.roots}"\n`);
  }
  const file = join(folder, 'lockgate.toml');
  writeFileSync(file, config.join('\n'));
  let gate;
  await test(`a gateway starts in front of ${config.length} TLS servers`, async () => {
    gate = await gateway([], { args: ['--config', file] });
  });
  if (gate) {
    const call = (name) => nodeClient({ url: gate.foreign(name), ca: gate.ready.authority });
    for (const name of Object.keys(good)) {
      await test(`Node.js server ${name}: the gateway reaches it`, async () => {
        const seen = await call(name);
        same(seen.status, 200, `the status, with ${seen.body}; the server: ${started[name].output.stderr}`);
        expect(seen.body.includes('supportedVersions'), seen.body);
      });
    }
    for (const name of Object.keys(bad)) {
      await test(`Node.js server ${name}: the gateway refuses it, and says why`, async () => {
        const seen = await call(name);
        const error = JSON.parse(seen.body).error;
        expect(error?.message && !seen.body.includes('supportedVersions'), seen.body);
        return error.message;
      });
    }
    await gate.stop();
  }
  for (const server of Object.values(started)) await server.stop();
}

note(await version(newestNode, ['-p', '`Node.js ${process.version}, OpenSSL ${process.versions.openssl}`']));
note(await version('openssl', ['version']));
const fixture = await start(binary('conformance-server'), ['--listen', '127.0.0.1:0']);
for (const part of [listeners, transition, servers]) {
  await section(part.name, () => part(fixture.ready.url));
}
await fixture.stop();
end();
