// Each profile on a listener of its own, and clients that others wrote: who gets in, and by what. The table below is
// written out; what a client negotiates is what the gateway says of the same link.
import { agile, crypto, eventually, status } from './lib/agility.mjs';
import { binary, newestNode, python, run, start } from './lib/processes.mjs';
import { end, expect, note, same, section, test } from './lib/tap.mjs';
import {
  EVERY_GROUP, HANDSHAKE_FAILURE, classicalNode, curl, newest, node, pythonTls, sClient,
} from './lib/tls_clients.mjs';

/** OpenSSL 3.5 and 4.0 as they come. */
const MODERN = {
  'Node.js with OpenSSL 3.5': newest(),
  'Python cryptography with OpenSSL 4.0': pythonTls('cryptography'),
};
/** OpenSSL 3.5 with every group that it has. */
const CAPABLE = { 'Node.js with OpenSSL 3.5 and every group': newest({ groups: EVERY_GROUP }) };
/** OpenSSL 3.5 whose list of groups begins with a traditional one. */
const BACKWARD = {
  'Node.js that lists X25519 first': newest({ groups: 'X25519:P-384:SecP256r1MLKEM768:X25519MLKEM768' }),
};
/** OpenSSL 3.5 that can verify ECDSA only. */
const ECDSA = { 'Node.js that verifies ECDSA only': newest({ sigalgs: 'ecdsa_secp256r1_sha256' }) };
/** OpenSSL 3.0. */
const CLASSICAL = {
  'Node.js 20 with OpenSSL 3.0': node(classicalNode),
  "Debian's openssl s_client": sClient,
  "Debian's curl": curl,
  "Python's ssl": pythonTls('ssl'),
};
const CLIENTS = [MODERN, CAPABLE, BACKWARD, ECDSA, CLASSICAL];

const REFUSED = null;
/** By profile, for each of `CLIENTS`: group and signature of the leaf, or refused with a handshake_failure alert. */
const TABLE = {
  'pq-hybrid': [
    ['X25519MLKEM768', 'ML-DSA-65'],
    ['X25519MLKEM768', 'ML-DSA-65'],
    ['SecP256r1MLKEM768', 'ML-DSA-65'],
    REFUSED,
    REFUSED,
  ],
  'pq-kex': [
    ['X25519MLKEM768', 'ML-DSA-65'],
    ['X25519MLKEM768', 'ML-DSA-65'],
    ['SecP256r1MLKEM768', 'ML-DSA-65'],
    ['X25519MLKEM768', 'ECDSA-P256-SHA256'],
    REFUSED,
  ],
  'pq-transition': [
    ['X25519MLKEM768', 'ML-DSA-65'],
    ['X25519MLKEM768', 'ML-DSA-65'],
    // A quantum-safe group, although the client would rather have another.
    ['SecP256r1MLKEM768', 'ML-DSA-65'],
    ['X25519MLKEM768', 'ECDSA-P256-SHA256'],
    ['X25519', 'ECDSA-P256-SHA256'],
  ],
  // Composite signatures only, which no other library has yet.
  'bsi-hybrid': [REFUSED, REFUSED, REFUSED, REFUSED, REFUSED],
  'cnsa2-transition': [REFUSED, ['SecP384r1MLKEM1024', 'ML-DSA-87'], REFUSED, REFUSED, REFUSED],
  cnsa2: [REFUSED, ['MLKEM1024', 'ML-DSA-87'], REFUSED, REFUSED, REFUSED],
  'nist-fips': [
    ['X25519MLKEM768', 'ML-DSA-65'],
    ['X25519MLKEM768', 'ML-DSA-65'],
    ['SecP256r1MLKEM768', 'ML-DSA-65'],
    ['X25519MLKEM768', 'ECDSA-P256-SHA256'],
    REFUSED,
  ],
  // Composite signatures only.
  'low-latency': [REFUSED, REFUSED, REFUSED, REFUSED, REFUSED],
  // Curves, and of the signatures those that are not by hashes: OpenSSL has no SLH-DSA in TLS.
  'lattice-broken': [
    ['X25519', 'ECDSA-P256-SHA256'],
    ['X25519', 'ECDSA-P256-SHA256'],
    ['X25519', 'ECDSA-P256-SHA256'],
    ['X25519', 'ECDSA-P256-SHA256'],
    ['X25519', 'ECDSA-P256-SHA256'],
  ],
  'classical-broken': [
    ['X25519MLKEM768', 'ML-DSA-65'],
    ['X25519MLKEM768', 'ML-DSA-65'],
    ['SecP256r1MLKEM768', 'ML-DSA-65'],
    REFUSED,
    REFUSED,
  ],
};

async function matrix(gate) {
  for (const [profile, row] of Object.entries(TABLE)) {
    for (const [column, wanted] of row.entries()) {
      for (const [name, client] of Object.entries(CLIENTS[column])) {
        await one(gate, profile, name, client, wanted);
      }
    }
  }
}

async function one(gate, profile, name, client, wanted) {
  const what = wanted ? wanted.join(', ') : 'refused';
  await test(`${profile}, ${name}: ${what}`, async () => {
    const { refused, group, leaf, view } = await client({ base: gate.base(profile), ca: gate.ready.authority });
    if (!wanted) {
      expect(refused, `it got in: ${JSON.stringify({ group, leaf })}`);
      expect(HANDSHAKE_FAILURE.test(refused), `it was refused, but not by that alert: ${refused}`);
      return;
    }
    expect(!refused, `it was refused: ${refused}`);
    const { posture, listener } = view;
    same([posture.group, posture.own_signature], wanted, 'what the gateway saw');
    same([group ?? wanted[0], leaf ?? wanted[1]], wanted, 'what the client saw');
    same([posture.protocol, posture.profile.split('@')[0], listener], ['TLSv1.3', profile, profile], 'the link');
  });
}

async function afterwards(gate) {
  await test('the gateway shows each profile where it is, and all links are gone', async () => {
    const { places } = await crypto(gate, 'show');
    const shown = Object.fromEntries(places.map(({ name, profile }) => [name, profile.split('@')[0]]));
    for (const profile of Object.keys(TABLE)) same(shown[profile], profile, `the profile of listener ${profile}`);
    await eventually('the end of all links', async () => (await status(gate)).links.length === 0);
  });
}

async function version(command, args) {
  const { stdout } = await run(command, args);
  return stdout.trim().split('\n')[0];
}

for (const program of [newestNode, classicalNode]) {
  note(await version(program, ['-p', '`Node.js ${process.version}, OpenSSL ${process.versions.openssl}`']));
}
note(await version('openssl', ['version']));
note(await version('curl', ['--version']));
note(await version(python, [new URL('../python/tls.py', import.meta.url).pathname, 'version']));
const fixture = await start(binary('conformance-server'), ['--listen', '127.0.0.1:0']);
await section('profiles', async () => {
  const listeners = Object.fromEntries(Object.keys(TABLE).map((profile) => [profile, profile]));
  const gate = await agile([`fixture=${fixture.ready.url}`], listeners);
  await matrix(gate);
  await afterwards(gate);
  await gate.stop();
});
await fixture.stop();
end();
