// Changes on a live system, as clients see them that others wrote: Node.js with calls under way all the time is moved
// from one algorithm to another without a failed call, is refused when nothing is left that it knows, and is cut when
// that is what was asked for.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import tls from 'node:tls';

import { agile, crypto, eventually, links, lockgate, status } from './lib/agility.mjs';
import { message, modern, open, send, until } from './lib/mcp.mjs';
import { binary, gateway, newestNode, python, run, scratch, start } from './lib/processes.mjs';
import { end, expect, same, section, test } from './lib/tap.mjs';
import { HANDSHAKE_FAILURE, newest, sClient } from './lib/tls_clients.mjs';

const here = (path) => new URL(path, import.meta.url).pathname;
const FIRST = 'X25519MLKEM768';
const SECOND = 'SecP256r1MLKEM768';
const LEVEL_5 = 'SecP384r1MLKEM1024';
const REASON = ['--reason', 'test'];
/** Long enough for every call of the steady client to end. */
const DRAIN = ['--drain', '20s'];
/**
 * The ways in which Node.js calls, and which Node.js that is. `fetch` is that of a version whose `fetch` does not speak
 * HTTP/2 unasked: the one that does loses calls whenever any server ends a session with GOAWAY.
 */
const WAYS = { h1: newestNode, h2: newestNode, fetch: process.execPath };

/** This script's own calls, too, can be moved. */
tls.DEFAULT_ECDH_CURVE = `${FIRST}:${SECOND}`;

const roots = (gate) => readFileSync(gate.ready.authority);

/** A client that calls all the time; `after(group)` waits for calls over a group, `stop` gives its account. */
async function steady(gate, listener, how, groups) {
  const options = JSON.stringify({ url: gate.server(listener, 'wire'), groups, how });
  const started = await start(WAYS[how], [here('clients/steady.mjs'), options], {
    env: { NODE_EXTRA_CA_CERTS: gate.ready.authority },
  });
  const lines = () => started.output.stdout.split('\n').slice(0, -1).map((line) => JSON.parse(line));
  const count = (group) => lines().findLast((line) => line.group === group)?.calls ?? 0;
  const after = async (group) => {
    const before = count(group);
    const { stdout, stderr } = started.output;
    await eventually(`calls over ${group}; there were ${stdout}${stderr}`, () => count(group) > before);
  };
  const stop = async () => {
    await started.stop();
    return lines().at(-1);
  };
  return { after, stop };
}

/** Bans, does `body` with the change, and lifts the ban whatever came of it. */
async function banned(gate, target, words, body) {
  const change = await crypto(gate, 'ban', target, ...REASON, ...words);
  try {
    return await body(change);
  } finally {
    await crypto(gate, 'lift', target);
  }
}

/** The groups of a listener's live links. */
const groupsOf = async (gate, listener) => (await links(gate, listener)).map((link) => link.posture.group);

/** Fails unless every link that had to move has moved by itself. */
function allMoved({ migration }) {
  const { to_move: wanted, moved, killed, done } = migration;
  expect(wanted > 0, `no link had to move: ${JSON.stringify(migration)}`);
  same([moved, killed, done], [wanted, 0, true], 'moved, killed, done');
}

async function banMoves(gate) {
  for (const how of Object.keys(WAYS)) {
    await test(`a ban moves Node.js (${how}) to another group, and no call fails`, async () => {
      const client = await steady(gate, 'kex', how, `${FIRST}:${SECOND}`);
      await client.after(FIRST);
      const moved = await banned(gate, FIRST, DRAIN, async (change) => {
        allMoved(change);
        same(change.epoch, change.epoch_before + 1, 'the epoch');
        expect(!(await groupsOf(gate, 'kex')).includes(FIRST), 'a link with the banned group is up');
        await client.after(SECOND);
        return change.migration.moved;
      });
      await client.after(SECOND);
      const { calls, failed, groups } = await client.stop();
      same(failed, [], 'calls that failed');
      same(groups, [FIRST, SECOND], 'the groups of its links');
      return `${calls} calls, ${moved} links`;
    });
  }
}

async function callsUnderWay(gate) {
  // Two calls that wait for each other: one on a link that is told to go, one on the link that follows.
  await test('a call under way ends on its old link, while the next one has a new link already', async () => {
    const leg = { url: gate.server('kex', 'wire'), ca: roots(gate) };
    const meet = (label) => modern('meet', { key: 'across a ban', count: 2, label });
    const old = send(leg, meet('old'));
    await eventually('the link', async () => (await groupsOf(gate, 'kex')).length === 1);
    await banned(gate, FIRST, [...DRAIN, '--no-wait'], async ({ migration }) => {
      same([migration.to_move, migration.moved], [1, 0], 'what has to move');
      const fresh = await send(leg, meet('new'));
      const answers = [await old, fresh].map((answer) => message(answer).result.content[0].text);
      same(answers, ['old', 'new'], 'both answers');
      await eventually('all have moved', async () => !(await status(gate)).node.migration);
    });
  });
}

async function nothingLeft(gate) {
  const at = { base: gate.base('kex'), ca: gate.ready.authority };
  await test('a ban of the last group that a client knows refuses it with handshake_failure', async () => {
    const only = newest({ groups: FIRST });
    same((await only(at)).group, FIRST, 'the group before');
    await banned(gate, FIRST, ['--now'], async () => {
      const { refused } = await only(at);
      expect(HANDSHAKE_FAILURE.test(refused), `the client says ${refused}`);
      const { group } = await newest({ groups: `${FIRST}:${SECOND}` })(at);
      same(group, SECOND, 'the group of a client that knows another');
    });
    same((await only(at)).group, FIRST, 'the group after the ban');
  });
  await test("bans of curves take Debian's OpenSSL from curve to curve where they are permitted", async () => {
    const old = { ...at, base: gate.base('transition') };
    const spared = ['--keep-hybrids', '--now'];
    same((await sClient(old)).group, 'X25519', 'the group before');
    await banned(gate, 'X25519', spared, async () => {
      same((await sClient(old)).group, 'secp256r1', 'the group after');
      same((await newest({})(old)).group, FIRST, 'a hybrid with that curve');
      await banned(gate, 'secp256r1', spared, async () => {
        same((await sClient(old)).group, 'secp384r1', 'the last curve');
        await banned(gate, 'secp384r1', spared, async () => {
          const { refused } = await sClient(old);
          expect(HANDSHAKE_FAILURE.test(refused), `without any curve it says ${refused}`);
        });
      });
    });
  });
  await test('a ban that would leave a listener with nothing is refused, and changes nothing', async () => {
    const { node: before } = await status(gate);
    const { code, json, said } = await lockgate(gate, 'crypto', 'ban', LEVEL_5, ...REASON);
    same([code, json?.errors[0].code], [5, 'LG-K005'], `exit code and reason, in ${said}`);
    same((await status(gate)).node.epoch, before.epoch, 'the epoch');
    return json.errors[0].what;
  });
}

async function othersStay(gate) {
  await test('a ban of a signature leaves links alone that do not use it', async () => {
    const client = await steady(gate, 'kex', 'h2', FIRST);
    await client.after(FIRST);
    const [link] = await links(gate, 'kex');
    await banned(gate, 'ECDSA-P256-SHA256', DRAIN, async ({ migration }) => {
      same([migration.to_move, migration.stayed >= 1], [0, true], 'what had to move');
      const ecdsa = newest({ sigalgs: 'ecdsa_secp256r1_sha256' });
      const { refused } = await ecdsa({ base: gate.base('kex'), ca: gate.ready.authority });
      expect(HANDSHAKE_FAILURE.test(refused), `a client that verifies nothing else says ${refused}`);
      await client.after(FIRST);
      same((await links(gate, 'kex')).map(({ number }) => number), [link.number], 'its link');
    });
    same((await client.stop()).failed, [], 'calls that failed');
  });
  await test('a ban of one implementation moves Node.js to the same group by another', async () => {
    const client = await steady(gate, 'kex', 'h2', FIRST);
    await client.after(FIRST);
    const [{ posture: before }] = await links(gate, 'kex');
    const provider = await banned(gate, `${before.provider}/${FIRST}`, DRAIN, async (change) => {
      allMoved(change);
      await client.after(FIRST);
      const [{ posture: after }] = await links(gate, 'kex');
      expect(after.group === FIRST && after.provider !== before.provider, JSON.stringify(after));
      return after.provider;
    });
    same((await client.stop()).failed, [], 'calls that failed');
    return `${before.provider} to ${provider}`;
  });
}

async function applied(gate) {
  for (const how of Object.keys(WAYS)) {
    await test(`apply and rollback move Node.js (${how}) to level 5 and let it stay, and no call fails`, async () => {
      const client = await steady(gate, 'kex', how, `${FIRST}:${LEVEL_5}`);
      await client.after(FIRST);
      allMoved(await crypto(gate, 'apply', 'cnsa2-transition', '--listener', 'kex', '--cut-off', ...DRAIN));
      await client.after(LEVEL_5);
      for (const { posture } of await links(gate, 'kex')) {
        same([posture.group, posture.own_signature], [LEVEL_5, 'ML-DSA-87'], 'a link');
      }
      const { migration } = await crypto(gate, 'rollback', ...DRAIN);
      same(migration.to_move, 0, 'links that may not stay under a profile that permits more');
      await client.after(LEVEL_5);
      const { calls, failed, groups } = await client.stop();
      same(failed, [], 'calls that failed');
      same(groups, [FIRST, LEVEL_5], 'the groups of its links');
      return `${calls} calls`;
    });
  }
  await test('a change that cuts a client off is planned as that, and refused unless it is meant', async () => {
    const client = await steady(gate, 'kex', 'h2', FIRST);
    await client.after(FIRST);
    const words = ['cnsa2-transition', '--listener', 'kex'];
    const plan = await lockgate(gate, 'crypto', 'plan', ...words);
    same(plan.code, 5, `the exit code, with ${plan.said}`);
    const [fate] = plan.json.links.filter((link) => link.place === 'kex');
    same(fate.verdict, 'refused', 'the verdict');
    const refused = await lockgate(gate, 'crypto', 'apply', ...words);
    same(refused.code, 5, `the exit code, with ${refused.said}`);
    expect(refused.said.includes('LG-K003'), refused.said);
    await client.after(FIRST);
    same((await client.stop()).failed, [], 'calls that failed');
    return fate.why.join('; ');
  });
}

async function cut(gate) {
  const leg = { url: gate.server('kex', 'wire'), ca: roots(gate) };
  const cuts = {
    '--now cuts a link with a call that never ends': ['--now'],
    'what is left at the end of the drain is cut': ['--drain', '2s'],
  };
  for (const [name, words] of Object.entries(cuts)) {
    await test(name, async () => {
      const opened = await open(leg, modern('hang', { after: 'event' }));
      await until(opened, 'begun');
      const end = remainder(opened);
      const rest = await banned(gate, FIRST, words, async ({ migration }) => {
        same([migration.to_move, migration.killed, migration.done], [1, 1, true], 'the change');
        same(await groupsOf(gate, 'kex'), [], 'live links');
        return end;
      });
      // A word about it may or may not get through before the link is cut.
      expect(rest.broken || rest.text.includes('"error"'), JSON.stringify(rest));
      return rest.broken ? 'broke off' : 'ended with an error';
    });
  }
  for (const how of Object.keys(WAYS)) {
    await test(`--now takes Node.js (${how}) off the group, and it comes back by another`, async () => {
      const client = await steady(gate, 'kex', how, `${FIRST}:${SECOND}`);
      await client.after(FIRST);
      await banned(gate, FIRST, ['--now'], async () => {
        expect(!(await groupsOf(gate, 'kex')).includes(FIRST), 'a link with the banned group is up');
        await client.after(SECOND);
      });
      const { failed, groups } = await client.stop();
      same(groups, [FIRST, SECOND], 'the groups of its links');
      return `${failed.length} calls were cut`;
    });
  }
}

/** What is left of an answer, and whether it broke off. */
async function remainder({ response }) {
  let text = '';
  try {
    for await (const piece of response) text += piece;
  } catch {
    return { text, broken: true };
  }
  return { text, broken: !response.complete };
}

async function recorded(gate) {
  await test('every change is in the audit log, with what was before and after', async () => {
    await banned(gate, FIRST, ['--now'], () => {});
    await crypto(gate, 'apply', 'cnsa2-transition', '--listener', 'kex', '--cut-off', '--drain', '0s');
    await crypto(gate, 'rollback', '--drain', '0s');
    const { code, stdout, stderr } = await run(binary('lockgate'), [
      'audit', 'tail', '-n', '4', '--state', gate.state, '--output', 'jsonl',
    ]);
    expect(code === 0, stderr);
    const records = stdout.split('\n').filter(Boolean).map((line) => JSON.parse(line));
    const made = records.map(({ kind, outcome, method }) => [kind, outcome, method].join(' '));
    same(made, ['ban', 'lift', 'apply', 'rollback'].map((what) => `crypto ok crypto/${what}`), 'the records');
    const [ban, lift, apply, rollback] = records;
    same([ban.before, apply.before], [lift.after, rollback.after], 'what was before, and is again');
    expect(ban.after.some((line) => line.includes(FIRST) && line.startsWith('ban of')), `${ban.after}`);
    expect(apply.after.some((line) => line.includes('cnsa2-transition')), `${apply.after}`);
    same(rollback.epoch, ban.epoch + 3, 'the epoch');
    await gate.stop();
    const verified = await run(binary('lockgate'), ['audit', 'verify', '--state', gate.state, '--output', 'json']);
    expect(verified.code === 0, verified.stdout + verified.stderr);
    return `${JSON.parse(verified.stdout).records} records in all`;
  });
}

/** The other way round: the server is Node.js, and the gateway's links to it move. */
async function upstream(wire) {
  const folder = scratch('certificates');
  const made = await run(python, [here('../python/certificates.py'), folder]);
  expect(made.code === 0, made.stderr);
  const file = (kind) => join(folder, `ml-dsa-65${kind}.pem`);
  const options = { certificate: file(''), key: file('.key'), groups: `${FIRST}:${SECOND}`, to: wire };
  const server = await start(newestNode, [here('clients/tls_server.mjs'), JSON.stringify(options)]);
  const config = join(folder, 'lockgate.toml');
  writeFileSync(config, `[[server]]\nname = "wire"\nto = "${server.ready.url}"\nroots = "${file('.root')}"\n`);
  const gate = await gateway([], { args: ['--config', config] });
  gate.server = (_, id) => gate.foreign(id);
  const used = async () => {
    const { upstreams } = await status(gate);
    return upstreams[0].links.filter((link) => !link.retired).map((link) => link.posture.group);
  };
  await test('a ban moves the links to a Node.js server to another group, and no call fails', async () => {
    const client = await steady(gate, 'foreign', 'h1', LEVEL_5);
    await client.after(LEVEL_5);
    expect((await used()).every((group) => group === FIRST), `the groups before: ${await used()}`);
    await crypto(gate, 'ban', FIRST, ...REASON, ...DRAIN);
    await client.after(LEVEL_5);
    await eventually('links by the other group', async () => {
      const groups = await used();
      return groups.length > 0 && groups.every((group) => group === SECOND);
    });
    const { calls, failed } = await client.stop();
    same(failed, [], 'calls that failed');
    return `${calls} calls`;
  });
  await gate.stop();
  await server.stop();
}

const wire = await start(binary('wire-server'), ['--listen', '127.0.0.1:0']);
await section('listeners', async () => {
  const listeners = { kex: 'pq-kex', transition: 'pq-transition', strict: 'cnsa2-transition' };
  const gate = await agile([`wire=${wire.ready.url}`], listeners);
  for (const part of [banMoves, callsUnderWay, nothingLeft, othersStay, applied, cut, recorded]) {
    await section(part.name, () => part(gate));
  }
  await gate.stop();
});
await section('upstream', () => upstream(wire.ready.url));
await wire.stop();
end();
