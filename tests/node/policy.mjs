// Policy on every argument, as clients that others wrote meet it: real tunnels, enrolled agents, an ordinary SDK server.
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { callsV1, callsV2 } from './lib/clients.mjs';
import { binary, gateway, run, scratch, start } from './lib/processes.mjs';
import { end, expect, note, same, section, test } from './lib/tap.mjs';

const CLIENTS = [
  ['TypeScript SDK v1', (target) => callsV1(target, 'legacy')],
  ['TypeScript SDK v2, auto', (target) => callsV2(target, 'auto')],
];

const RETAIL = `
[role]
name = "retail-bot"
agents = ["agent/retail-*"]

[[allow]]
id = "read-customer"
tools = ["clinic/get_customer"]
arguments.customer_id = { like = "c-*" }
arguments.fields = { only = ["name", "email"] }
result = { only = ["name", "email"] }
hint = "ask for name and email only"

[[allow]]
id = "refund"
tools = ["clinic/refund"]
arguments.customer_id = { like = "c-*" }
arguments.amount = { min = 1, max = 100 }
approval = true

[[allow]]
id = "note"
tools = ["clinic/note"]

[[never]]
id = "system-config"
servers = ["clinic"]
touching = ["system_config"]
on_violation = "kill"
reason = "nobody but operators changes the system's configuration"

[end]
`;

const SERVICE = `
[role]
name = "customer-service"
agents = ["agent/service-*"]

[[allow]]
id = "read-customer"
tools = ["clinic/get_customer"]

[[never]]
id = "billing"
servers = ["billing"]

[end]
`;

const server = (name) => new URL(`servers/${name}.mjs`, import.meta.url).pathname;
const packages = new URL('lib/packages.mjs', import.meta.url).pathname;

async function lockgate(...args) {
  const ended = await run(binary('lockgate'), args);
  expect(ended.code === 0, `lockgate ${args.join(' ')} ended with ${ended.code}:\n${ended.stderr}${ended.stdout}`);
  return ended.stdout;
}

/** A gateway in front of two servers, with these role files. */
async function guarded(roles) {
  const state = scratch('policy');
  mkdirSync(join(state, 'policy'), { mode: 0o700 });
  for (const [name, text] of Object.entries(roles)) {
    writeFileSync(join(state, 'policy', `${name}.toml`), text, { mode: 0o600 });
  }
  const env = { TEST_NODE_MODULES: process.env.TEST_NODE_MODULES };
  const config = join(state, 'lockgate.toml');
  const words = JSON.stringify([process.execPath, '--import', packages, server('clinic')]);
  const one = (name) =>
    `[[server]]\nname = "${name}"\ncommand = ${words}\nenv = { TEST_NODE_MODULES = ${JSON.stringify(env.TEST_NODE_MODULES)} }\n`;
  writeFileSync(config, `${one('clinic')}\n${one('billing')}`);
  return gateway([], { state, args: ['--config', config] });
}

/** An enrolled agent's connector, with a state of its own. */
async function agent(gate, name, target = 'clinic') {
  const code = (await lockgate('identity', 'invite', '--name', name, '--state', gate.state)).trim();
  const url = target === 'all' ? gate.ready.endpoint : gate.url(target);
  return start(binary('lockgate'), [
    'connect', url, '--invite', code, '--listen', '127.0.0.1:0', '--state', scratch(name), '--output', 'json',
  ]);
}

const call = (name, args) => ({ name, arguments: args });

async function retail(gate, [name, use], number) {
  const bot = await agent(gate, `retail-${number}`);
  const target = { url: bot.ready.endpoint };
  await test(`${name}: reads an email, and nothing else of the answer comes through`, async () => {
    const calls = [call('get_customer', { customer_id: 'c-1', fields: ['email'] })];
    const seen = await use({ ...target, calls });
    same(seen.tools, ['get_customer', 'note', 'refund'], 'the tools that it sees');
    same(seen.calls[0].structured, { name: 'Ada', email: 'ada@example.org' }, 'the record');
    expect(!JSON.stringify(seen).includes('078-05'), 'the number came through');
  });
  await test(`${name}: asking for the number is denied, with a hint`, async () => {
    const calls = [call('get_customer', { customer_id: 'c-1', fields: ['ssn'] })];
    const seen = (await use({ ...target, calls })).calls[0];
    expect(/retail-bot\.read-customer/.test(JSON.stringify(seen)), `no rule is named: ${JSON.stringify(seen)}`);
    expect(/ask for name and email only/.test(JSON.stringify(seen)), `no hint: ${JSON.stringify(seen)}`);
  });
  await test(`${name}: a refund waits for a person, and passes once`, async () => {
    const refund = call('refund', { customer_id: 'c-1', amount: 20 + number });
    const held = (await use({ ...target, calls: [refund] })).calls[0];
    expect(held.isError === true, `a hold is a result that the model reads: ${JSON.stringify(held)}`);
    expect(/approv/i.test(held.text), held.text);
    const listed = JSON.parse(await lockgate('approvals', 'list', '--output', 'json', '--state', gate.state));
    const waiting = listed.calls.filter((each) => JSON.stringify(each).includes(`retail-${number}`));
    same(waiting.length, 1, 'what waits');
    await lockgate('approvals', 'approve', waiting[0].id, '--state', gate.state);
    const [first, second] = (await use({ ...target, calls: [refund, refund] })).calls;
    same(first.structured, { customer_id: 'c-1', amount: 20 + number, paid: true }, 'the refund');
    expect(second.isError === true, 'the approval was good twice');
  });
  await test(`${name}: hiding system_config does not help, and ends the agent`, async () => {
    const hidden = Buffer.from('please read SYSTEM_CONFIG').toString('base64');
    const calls = [call('note', { text: 'fine' }), call('note', { text: 'x', tags: { deep: [{ er: hidden }] } })];
    const seen = (await use({ ...target, calls })).calls;
    same(seen[0].structured, { kept: true }, 'the harmless note');
    expect(/system-config|cut|closed|fetch|revoked|denied/i.test(JSON.stringify(seen[1])), JSON.stringify(seen[1]));
    const again = await use({ ...target, calls: [call('note', { text: 'fine' })] }).catch((error) => String(error));
    expect(!JSON.stringify(again).includes('"kept":true'), `it still works: ${JSON.stringify(again)}`);
  });
  await bot.stop();
}

async function service(gate) {
  const bot = await agent(gate, 'service-1', 'billing');
  await test('customer service never reaches billing: refused when it connects', async () => {
    const seen = await callsV1({ url: bot.ready.endpoint, calls: [] }, 'legacy').catch((error) => String(error));
    expect(/customer-service\.billing|may not|-31001/.test(JSON.stringify(seen)), JSON.stringify(seen));
  });
  await bot.stop();
  const all = await agent(gate, 'service-2', 'all');
  await test('billing is not among the tools of all servers, and cannot be called there', async () => {
    const calls = [
      { name: 'billing__get_customer', arguments: { customer_id: 'c-1' } },
      { name: 'billing_get_customer', arguments: { customer_id: 'c-1' } },
    ];
    const seen = await callsV1({ url: all.ready.endpoint, calls }, 'legacy');
    expect(seen.tools.every((tool) => !tool.startsWith('billing')), `it sees ${seen.tools}`);
    expect(seen.calls.every((each) => each.structured === undefined), JSON.stringify(seen.calls));
    return seen.tools.join();
  });
  await all.stop();
}

async function stories() {
  let gate;
  await test('a gateway starts with role files', async () => {
    gate = await guarded({ retail: RETAIL, service: SERVICE });
  });
  if (!gate) return;
  for (const [n, client] of CLIENTS.entries()) await retail(gate, client, n + 1);
  await service(gate);
  await gate.stop();
}

note(`Node.js ${process.version}`);
await section('stories', stories);
end();
