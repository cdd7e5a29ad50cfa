// TLS clients that others wrote. Each asks a listener for the posture of its own link and gives what both ends saw:
// `{group, leaf, view}`, where `view` is what the gateway says of the link, or `{refused}` with the client's own words.
import { newestNode, python, run } from './processes.mjs';

const here = (path) => new URL(path, import.meta.url).pathname;
const POSTURE = '/.well-known/lockgate/posture';
/** What clients call an alert of this name, whatever their version of OpenSSL writes around it. */
export const HANDSHAKE_FAILURE = /alert[ _]handshake[ _]failure/i;

export const classicalNode = process.env.TEST_NODE_CLASSICAL;

/** Catalog ids of what OpenSSL calls the key of a leaf. */
const LEAVES = {
  'ml-dsa-44': 'ML-DSA-44',
  'ml-dsa-65': 'ML-DSA-65',
  'ml-dsa-87': 'ML-DSA-87',
  ec: 'ECDSA-P256-SHA256',
};
/** Catalog ids of groups that OpenSSL has another name for. */
const GROUPS = { prime256v1: 'secp256r1', x25519: 'X25519' };

function seen({ group, leaf, body }) {
  const view = JSON.parse(body);
  return { group: GROUPS[group] ?? group, leaf: leaf && (LEAVES[leaf] ?? leaf), view };
}

/** Node.js, with its own defaults unless `groups` or `sigalgs` say otherwise. */
export const node = (program, choice = {}) => async ({ base, ca }) => {
  const options = { url: base + POSTURE, ca, get: true, ...choice };
  const { code, stdout, stderr } = await run(program, [here('../clients/tls_client.mjs'), JSON.stringify(options)]);
  if (code !== 0) throw new Error(`the client ended with ${code}: ${stderr}`);
  const said = JSON.parse(stdout);
  return said.refused ? { refused: `${said.refused} ${said.reason}` } : seen(said);
};

/** Debian's `openssl s_client`. */
export async function sClient({ base, ca }) {
  const { host } = new URL(base);
  const args = ['s_client', '-connect', host, '-CAfile', ca, '-verify_return_error', '-ign_eof'];
  const text = `GET ${POSTURE} HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`;
  const { code, stdout, stderr } = await run('openssl', args, { input: 'pipe', text });
  const body = /\r\n\r\n(\{.*\})/.exec(stdout)?.[1];
  if (!body) return { refused: `exit code ${code}: ${stderr}` };
  const group = /^Server Temp Key: (?:ECDH, )?([\w-]+)/m.exec(stdout)?.[1];
  const leaf = /^Peer signature type: (\w+)/m.exec(stdout)?.[1];
  return seen({ group, leaf: leaf === 'ECDSA' ? 'ec' : leaf, body });
}

/** Debian's curl, which does not tell what it negotiated. */
export async function curl({ base, ca }) {
  const { code, stdout, stderr } = await run('curl', ['--silent', '--show-error', '--cacert', ca, base + POSTURE]);
  return code === 0 ? seen({ body: stdout }) : { refused: `exit code ${code}: ${stderr}` };
}

/** Python, by the TLS of its own `ssl` or of the package `cryptography`. */
export const pythonTls = (library) => async ({ base, ca }) => {
  const { code, stdout, stderr } = await run(python, [here('../../python/tls.py'), library, base + POSTURE, ca]);
  if (code !== 0) throw new Error(`the client ended with ${code}: ${stderr}`);
  const said = JSON.parse(stdout);
  return said.refused ? said : seen(said);
};

/** Every group that Node.js with OpenSSL 3.5 has, in the order of the catalog. */
export const EVERY_GROUP =
  'X25519MLKEM768:SecP256r1MLKEM768:SecP384r1MLKEM1024:MLKEM1024:MLKEM768:X25519:P-256:P-384';

export const newest = (choice) => node(newestNode, choice);
