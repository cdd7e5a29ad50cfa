// A real browser, driven over the DevTools protocol: what it asked, and what its TLS negotiated.
import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import tls from 'node:tls';

import { run, scratch, start } from './processes.mjs';

/** How long one command to the browser may take: a cold browser on a busy machine. */
const COMMAND_MS_MAX = 60_000;
const FLAGS = [
  '--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--no-default-browser-check',
  '--disable-background-networking', '--disable-component-update', '--disable-sync', '--disable-extensions',
  '--disable-dev-shm-usage', '--no-proxy-server', '--remote-debugging-port=0',
];

/**
 * Starts the browser with a home of its own. It trusts the root in the PEM file `root` besides those that it came with,
 * as its user would make it. It cannot be told to trust a root of ML-DSA, because the list of roots is kept by another
 * library: leaves with one of these `keys` (the digest of the public key, see `keyOf`) pass all the same. Pages without
 * TLS need neither.
 */
export async function browser({ root, keys = [] } = {}) {
  const home = scratch('browser');
  if (root) await trust(home, root);
  const profile = join(home, 'profile');
  mkdirSync(profile);
  const own = [`--user-data-dir=${profile}`, `--ignore-certificate-errors-spki-list=${keys.join()}`];
  const started = await start(process.env.TEST_CHROMIUM, [...FLAGS, ...own, 'about:blank'], {
    env: { HOME: home, XDG_CONFIG_HOME: join(home, 'config'), XDG_CACHE_HOME: join(home, 'cache') },
    ready: (text) => /^DevTools listening on (ws:\S+)/m.exec(text)?.[1],
  });
  const tools = await connect(started.ready);
  const close = async () => {
    await tools.send('Browser.close').catch(() => {});
    await started.stop();
  };
  const { product } = await tools.send('Browser.getVersion');
  return { product, page: () => page(tools), close };
}

/** The browser's own list of trusted roots. */
async function trust(home, root) {
  const database = join(home, '.pki', 'nssdb');
  mkdirSync(database, { recursive: true });
  for (const words of [['-N', '--empty-password'], ['-A', '-n', 'test root', '-t', 'C,,', '-i', root]]) {
    const { code, stderr } = await run('certutil', ['-d', `sql:${database}`, ...words]);
    if (code !== 0) throw new Error(`certutil ${words.join(' ')}: ${stderr}`);
  }
}

/** SHA-256 of the public key that a listener presents to a client that can verify ML-DSA, base64. */
export async function keyOf(base, authority) {
  const { hostname: host, port } = new URL(base);
  const socket = tls.connect({ host, port, ca: readFileSync(authority) });
  await new Promise((resolve, reject) => socket.once('secureConnect', resolve).once('error', reject));
  const key = socket.getPeerX509Certificate().publicKey.export({ type: 'spki', format: 'der' });
  socket.destroy();
  return createHash('sha256').update(key).digest('base64');
}

/** Keys that are no letters. */
const KEYS = {
  Enter: { windowsVirtualKeyCode: 13, text: '\r' },
  Escape: { windowsVirtualKeyCode: 27 },
  Tab: { windowsVirtualKeyCode: 9 },
  ArrowDown: { windowsVirtualKeyCode: 40 },
  ArrowUp: { windowsVirtualKeyCode: 38 },
};

/** The DevTools protocol over one WebSocket: `send` a command, `on` an event. */
async function connect(url) {
  const socket = new WebSocket(url);
  const waiting = new Map();
  const listeners = new Set();
  let last = 0;
  socket.onmessage = ({ data }) => {
    const { id, result, error, method, params, sessionId } = JSON.parse(data);
    if (id === undefined) {
      for (const listener of [...listeners]) listener({ method, params, sessionId });
      return;
    }
    const { resolve, reject } = waiting.get(id);
    waiting.delete(id);
    if (error) reject(new Error(error.message));
    else resolve(result);
  };
  const gone = () => {
    for (const { reject } of waiting.values()) reject(new Error('the browser is gone'));
    waiting.clear();
  };
  await new Promise((resolve, reject) => {
    socket.onopen = resolve;
    socket.onerror = () => reject(new Error('the browser does not speak DevTools'));
  });
  socket.onclose = gone;
  const send = (method, params = {}, sessionId) =>
    new Promise((resolve, reject) => {
      const id = ++last;
      const late = setTimeout(() => reject(new Error(`${method}: no answer in time`)), COMMAND_MS_MAX);
      const settle = (settled) => (value) => {
        clearTimeout(late);
        settled(value);
      };
      waiting.set(id, { resolve: settle(resolve), reject: settle(reject) });
      socket.send(JSON.stringify({ id, method, params, sessionId }));
    });
  return { send, listeners };
}

/**
 * A tab: `open(url)` goes there, `evaluate(expression)` runs in it, `press(key)` is a key of the keyboard, `send` any
 * command, `requests` every URL that it asked for, `complaints` what its console said was wrong.
 */
async function page(tools) {
  const { targetId } = await tools.send('Target.createTarget', { url: 'about:blank' });
  const { sessionId } = await tools.send('Target.attachToTarget', { targetId, flatten: true });
  const send = (method, params) => tools.send(method, params, sessionId);
  const responses = [];
  const requests = [];
  const complaints = [];
  tools.listeners.add((event) => {
    if (event.sessionId !== sessionId) return;
    if (event.method === 'Network.requestWillBeSent') requests.push(event.params.request.url);
    if (event.method === 'Log.entryAdded' && event.params.entry.level === 'error') complaints.push(event.params.entry);
    if (event.method === 'Runtime.exceptionThrown') complaints.push(event.params.exceptionDetails);
    if (event.method === 'Network.responseReceived') responses.push(event.params);
  });
  await send('Network.enable');
  await send('Network.setCacheDisabled', { cacheDisabled: true });
  await send('Page.enable');
  await send('Log.enable');
  await send('Runtime.enable');
  const evaluate = async (expression) => {
    const { result, exceptionDetails } = await send('Runtime.evaluate', {
      expression, awaitPromise: true, returnByValue: true,
    });
    if (exceptionDetails) throw new Error(exceptionDetails.exception?.description ?? exceptionDetails.text);
    return result.value;
  };
  const open = async (url) => {
    responses.length = 0;
    const { errorText, loaderId } = await send('Page.navigate', { url });
    if (errorText) return { refused: errorText };
    const text = await evaluate(`new Promise((resolve) => {
      const read = () => resolve(document.body.innerText);
      document.readyState === 'complete' ? read() : addEventListener('load', read);
    })`);
    const { response } = responses.find((received) => received.loaderId === loaderId && received.type === 'Document');
    const { status, protocol, securityState: state, securityDetails: details } = response;
    return { status, http: protocol, state, details, text };
  };
  const press = async (key) => {
    const code = KEYS[key] ?? { windowsVirtualKeyCode: key.toUpperCase().charCodeAt(0) };
    await send('Input.dispatchKeyEvent', { type: 'keyDown', key, text: key.length === 1 ? key : code.text, ...code });
    await send('Input.dispatchKeyEvent', { type: 'keyUp', key, ...code });
  };
  return { open, evaluate, press, send, requests, complaints, close: () => tools.send('Target.closeTarget', { targetId }) };
}
