// A real browser on a gateway's listeners: what Chromium itself says that its TLS negotiated, beside what the gateway
// says of the same link; and how the browser fares when the cryptography of a listener changes under it.
import { join } from 'node:path';

import { agile, crypto, eventually, links, lockgate } from './lib/agility.mjs';
import { browser, keyOf } from './lib/browser.mjs';
import { binary, python, run, scratch, start } from './lib/processes.mjs';
import { end, expect, note, same, section, test } from './lib/tap.mjs';

const HYBRID = 'X25519MLKEM768';
const POSTURE = '/.well-known/lockgate/posture';
const REASON = ['--reason', 'test'];
/** The browser's words for a handshake_failure alert. */
const REFUSED = 'net::ERR_SSL_VERSION_OR_CIPHER_MISMATCH';
/** Signatures by their code points, as Chromium tells them. */
const SIGNATURES = { 0x0403: 'ECDSA-P256-SHA256', 0x0905: 'ML-DSA-65' };
/** What each listener presents to a client that can verify ML-DSA. */
const PRESENTED = { foreign: 'ML-DSA-65', transition: 'ML-DSA-65', outside: 'ECDSA-P256-SHA256' };
/** In the page: asks all the time, and keeps an account of it in `window`. */
const ASK_ALL_THE_TIME = `(() => {
  const told = (window.told = { asked: 0, failed: [], groups: [], last: undefined });
  const ask = async () => {
    while (!window.enough) {
      try {
        const { posture } = await (await fetch('${POSTURE}', { cache: 'no-store' })).json();
        told.asked += 1;
        told.last = posture.group;
        if (!told.groups.includes(told.last)) told.groups.push(told.last);
      } catch (error) {
        told.failed.push(String(error));
        await new Promise((resolve) => setTimeout(resolve, 100));
      }
    }
  };
  window.asking = Promise.all([ask(), ask(), ask()]);
})()`;

/** What the browser shows, which has to be the page, and by what its TLS came about. */
async function visit(tab, gate, listener) {
  const seen = await tab.open(gate.base(listener) + POSTURE);
  expect(!seen.refused, `refused: ${seen.refused}`);
  same([seen.status, seen.state, seen.http], [200, 'secure', 'h2'], 'status, security and protocol');
  const { protocol, keyExchangeGroup: group, serverSignatureAlgorithm, cipher } = seen.details;
  const signature = SIGNATURES[serverSignatureAlgorithm];
  same([protocol, signature], ['TLS 1.3', PRESENTED[listener]], 'protocol and signature');
  return { group, signature, cipher, link: JSON.parse(seen.text) };
}

/** The same by the gateway: the document that it served, and its list of live links. */
async function agreed(gate, listener, { group, signature, link }) {
  const { posture } = link;
  same([posture.protocol, posture.group, posture.own_signature], ['TLSv1.3', group, signature], 'the document');
  same(link.listener, listener, 'the listener');
  const live = (await links(gate, listener)).find(({ number }) => number === link.number);
  expect(live, `link ${link.number} is not among the live ones`);
  same([live.posture.group, live.posture.own_signature], [group, signature], 'the live link');
}

async function getsIn(tab, gate) {
  for (const [listener, signature] of Object.entries(PRESENTED)) {
    await test(`the browser gets in at ${listener} by ${HYBRID} and ${signature}, and the gateway agrees`, async () => {
      const seen = await visit(tab, gate, listener);
      same(seen.group, HYBRID, 'the group');
      await agreed(gate, listener, seen);
      return `${seen.cipher}, ${seen.link.posture.profile}`;
    });
  }
  await test('the browser is refused where only composite signatures are permitted', async () => {
    const seen = await tab.open(gate.base('composite') + POSTURE);
    same(seen.refused, REFUSED, 'its words');
  });
}

async function follows(tab, gate) {
  const foreign = gate.base('foreign') + POSTURE;
  await test('a plan says that the browser would be cut off, and apply refuses to without being told', async () => {
    const { link } = await visit(tab, gate, 'foreign');
    const words = ['cnsa2-transition', '--listener', 'foreign'];
    const plan = await lockgate(gate, 'crypto', 'plan', ...words);
    same(plan.code, 5, `the exit code, with ${plan.said}`);
    same(plan.json.links.find(({ number }) => number === link.number)?.verdict, 'refused', 'the verdict');
    const { code, said } = await lockgate(gate, 'crypto', 'apply', ...words);
    same([code, said.includes('LG-K003')], [5, true], `exit code and reason, in ${said}`);
    same((await visit(tab, gate, 'foreign')).group, HYBRID, 'the group');
  });
  await test('after apply cnsa2-transition the browser is refused', async () => {
    await crypto(gate, 'apply', 'cnsa2-transition', '--listener', 'foreign', '--cut-off', '--drain', '0s');
    same(await links(gate, 'foreign'), [], 'live links');
    same((await tab.open(foreign)).refused, REFUSED, 'its words');
    same((await visit(tab, gate, 'transition')).group, HYBRID, 'the group at another listener');
  });
  await test('after rollback it gets in again', async () => {
    await crypto(gate, 'rollback');
    const seen = await visit(tab, gate, 'foreign');
    same(seen.group, HYBRID, 'the group');
    await agreed(gate, 'foreign', seen);
  });
  await test(`a ban of ${HYBRID} shuts the browser out where no other group of its own is permitted`, async () => {
    await crypto(gate, 'ban', HYBRID, ...REASON, '--now');
    same((await tab.open(foreign)).refused, REFUSED, 'its words');
    await crypto(gate, 'lift', HYBRID);
    same((await visit(tab, gate, 'foreign')).group, HYBRID, 'the group afterwards');
  });
}

async function moves(tab, gate) {
  await test('a page that asks all the time is moved by a ban and back, and no request fails', async () => {
    await visit(tab, gate, 'transition');
    await tab.evaluate(ASK_ALL_THE_TIME);
    const last = () => tab.evaluate('told.last');
    const over = (group) => eventually(`requests over ${group}`, async () => (await last()) === group);
    await over(HYBRID);
    const { migration } = await crypto(gate, 'ban', HYBRID, ...REASON, '--drain', '20s');
    same([migration.moved, migration.killed], [migration.to_move, 0], 'moved and killed');
    expect(migration.to_move > 0, 'no link had to move');
    await over('X25519');
    await crypto(gate, 'lift', HYBRID);
    // X25519 may stay where the profile permits it: what takes it away moves the page back.
    await crypto(gate, 'apply', 'pq-kex', '--listener', 'transition', '--cut-off', '--drain', '20s');
    await over(HYBRID);
    await crypto(gate, 'rollback');
    const told = await tab.evaluate('window.enough = true, asking.then(() => told)');
    same(told.failed, [], 'requests that failed');
    same([told.groups, told.last], [[HYBRID, 'X25519'], HYBRID], 'the groups, and the last one');
    return `${told.asked} requests`;
  });
}

const wire = await start(binary('wire-server'), ['--listen', '127.0.0.1:0']);
await section('browser', async () => {
  const folder = scratch('certificates');
  const made = await run(python, [new URL('../python/certificates.py', import.meta.url).pathname, folder]);
  expect(made.code === 0, made.stderr);
  const file = (kind) => join(folder, `ecdsa-p256${kind}.pem`);
  const gate = await agile([`wire=${wire.ready.url}`], {
    transition: 'pq-transition',
    composite: 'bsi-hybrid',
    outside: { profile: 'pq-kex', certificate: file(''), key: file('.key') },
  });
  const keys = [await keyOf(gate.base('foreign'), gate.ready.authority)];
  const opened = await browser({ root: file('.root'), keys });
  note(opened.product);
  const tab = await opened.page();
  for (const part of [getsIn, follows, moves]) await section(part.name, () => part(tab, gate));
  await opened.close();
  await gate.stop();
});
await wire.stop();
end();
