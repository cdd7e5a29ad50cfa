// One agent's way through Lockgate: invited, enrolled, denied, permitted, proven, and told when a
// tool is no longer what it was. Two state folders stand for two machines.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { sdkV2 } from './lib/clients.mjs';
import { message, modern, send, session } from './lib/mcp.mjs';
import { binary, gateway, run, scratch, start } from './lib/processes.mjs';
import { end, expect, same, section, test } from './lib/tap.mjs';

const AGENT = 'spiffe://lockgate.internal/agent/laptop';
const PERMIT = `@id("laptop")
permit(principal == Lockgate::Agent::"${AGENT}",
  action in [Lockgate::Action::"session", Lockgate::Action::"list", Lockgate::Action::"use"], resource)
when { context.link.quantum_safe };
`;
/** How long a change on disk may take until the node has taken it up. */
const RELOAD_MS_MAX = 15_000;

async function lockgate(...words) {
  const { code, stdout, stderr } = await run(binary('lockgate'), words);
  return { code, said: stdout + stderr, json: code === 0 ? JSON.parse(stdout) : undefined };
}

/** Tries until `body` no longer throws. */
async function eventually(body) {
  for (const last = Date.now() + RELOAD_MS_MAX; ; ) {
    try {
      return await body();
    } catch (error) {
      if (Date.now() > last) throw error;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }
}

async function enrolment(gate, fixture, state) {
  let local;
  const asked = ['identity', 'invite', '--name', 'laptop', '--state', gate.state, '--output', 'json'];
  const { json, said } = await lockgate(...asked);
  expect(json?.code?.startsWith('lg1.'), said);
  const { code } = json;
  const url = gate.url('fixture');
  const connect = (folder) => [
    'connect', url, '--invite', code, '--listen', '127.0.0.1:0', '--state', folder, '--output', 'json',
  ];
  await test('an invited agent enrols from another machine', async () => {
    local = await start(binary('lockgate'), connect(state));
    return local.ready.endpoint;
  });
  if (!local) return undefined;
  await test('the same invite does not work a second time', async () => {
    const { code: exit, said } = await lockgate(...connect(scratch('thief')));
    expect(exit !== 0 && /used/.test(said), `exit code ${exit}: ${said}`);
  });
  const leg = { url: local.ready.endpoint };
  await test('what no policy permits is denied, with the policy that would permit it', async () => {
    const { error } = message(await send(leg, modern('test_simple_text', {})));
    expect(error.message.includes(AGENT), error.message);
    expect(error.data.hint.includes('permit('), JSON.stringify(error.data));
    return `${error.code}`;
  });
  await test('a policy takes effect without a restart', async () => {
    writeFileSync(join(gate.state, 'policy', 'laptop.cedar'), PERMIT);
    await eventually(async () => {
      const { result } = message(await send(leg, modern('test_simple_text', {})));
      expect(result, 'it is still denied');
    });
  });
  await test('a policy with a mistake changes nothing', async () => {
    writeFileSync(join(gate.state, 'policy', 'broken.cedar'), 'permit(principal, action, nonsense);');
    await eventually(async () => {
      expect(/broken\.cedar/.test(gate.output.stderr), `the log is silent: ${gate.output.stderr}`);
    });
    const { result } = message(await send(leg, modern('test_simple_text', {})));
    expect(result, 'the good policies are gone');
    writeFileSync(join(gate.state, 'policy', 'broken.cedar'), '');
  });
  await test('the enrolled agent sees what a direct client sees', async () => {
    const through = await sdkV2(leg, '2026-07-28');
    same(through, await sdkV2({ url: fixture.ready.url }, '2026-07-28'), 'what it saw');
  });
  return local;
}

async function proof(gate, state) {
  await test('ping proves a post-quantum link, and the second one resumes it', async () => {
    const { json, said } = await lockgate('ping', gate.ready.endpoint, '-n', '2', '--state', gate.state, '--output', 'json');
    expect(json, said);
    const [first, second] = json.pings;
    same([first.verified, first.quantum_safe], [true, true], 'the first ping');
    same(first.posture.group, 'X25519MLKEM768', 'the group');
    same(first.posture.peer_signature, 'MLDSA65-Ed25519-SHA512', 'the signature');
    same([first.posture.resumed, second.posture.resumed], [false, true], 'resumed');
    same(first.gateway.posture.group, first.posture.group, 'both ends');
    return `${first.posture.bytes_in} bytes full, ${second.posture.bytes_in} resumed`;
  });
  await test('status shows the agent\'s link with both signatures', async () => {
    const { json, said } = await lockgate('status', '--state', gate.state, '--output', 'json');
    expect(json, said);
    const link = json.links.find((held) => held.agent === AGENT);
    expect(link, JSON.stringify(json.links));
    const { own_signature: own, peer_signature: peer } = link.posture;
    same([own, peer, link.quantum_safe], ['MLDSA65-Ed25519-SHA512', 'MLDSA65-Ed25519-SHA512', true], 'the link');
  });
  await test('the machine that enrolled holds no key of the authority', async () => {
    const { code, said } = await lockgate('identity', 'show', '--state', state, '--output', 'json');
    expect(code !== 0, said);
  });
}

async function drift(gate) {
  const leg = { url: gate.foreign('wire'), ca: readFileSync(gate.ready.authority) };
  const client = await session(leg);
  const names = async () => {
    const body = JSON.stringify({ jsonrpc: '2.0', id: 9, method: 'tools/list' });
    return message(await send(leg, { headers: client.headers, body })).result.tools.map((tool) => tool.name);
  };
  const call = async (tool) => message(await send(leg, client.request(tool, {})));
  await test('a tool whose definition changed is held until a person approves it', async () => {
    expect((await names()).includes('redefine'), 'it is not there at first');
    expect((await call('redefine')).result, 'it cannot be called at first');
    const held = await names();
    expect(!held.includes('redefine') && held.includes('exact'), `listed: ${held}`);
    const refused = await call('redefine');
    expect(refused.error, 'it can still be called');
    const list = await lockgate('threats', 'list', '--state', gate.state, '--output', 'json');
    const [threat] = list.json.pending ?? list.json.threats ?? [];
    expect(threat?.tool === 'redefine', list.said);
    const approved = await lockgate('threats', 'approve', threat.id, '--state', gate.state, '--output', 'json');
    expect(approved.code === 0, approved.said);
    expect((await names()).includes('redefine'), 'it is still hidden');
    expect((await call('redefine')).result, 'it still cannot be called');
    return refused.error.message;
  });
}

async function record(gate) {
  await test('the audit log holds the denial, the calls and the change, and is whole', async () => {
    const { code, stdout, stderr } = await run(binary('lockgate'), [
      'audit', 'tail', '-n', '500', '--state', gate.state, '--output', 'jsonl',
    ]);
    expect(code === 0, stderr);
    for (const text of [AGENT, '-31001', 'test_simple_text', 'redefine', 'X25519MLKEM768']) {
      expect(stdout.includes(text), `no record holds ${text}`);
    }
    await gate.stop();
    const verified = await lockgate('audit', 'verify', '--state', gate.state, '--output', 'json');
    expect(verified.code === 0, verified.said);
    return `${verified.json.records} records`;
  });
}

const fixture = await start(binary('conformance-server'), ['--listen', '127.0.0.1:0']);
const wire = await start(binary('wire-server'), ['--listen', '127.0.0.1:0']);
await section('journey', async () => {
  const gate = await gateway([`fixture=${fixture.ready.url}`, `wire=${wire.ready.url}`]);
  const state = scratch('laptop');
  const local = await enrolment(gate, fixture, state);
  if (local) await proof(gate, state);
  await local?.stop();
  await drift(gate);
  await record(gate);
  await gate.stop();
});
await fixture.stop();
await wire.stop();
end();
