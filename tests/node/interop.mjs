// Real clients and real servers, with Lockgate between them: every client sees through connector
// and gateway what it sees without them.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { inspector, pythonSdk, sdkV1, sdkV2 } from './lib/clients.mjs';
import {
  binary, connector, gateway, loopbackOnly, pkg, python, scratch, start, stdioConnector,
} from './lib/processes.mjs';
import { end, expect, note, same, section, test } from './lib/tap.mjs';

const MODERN = '2026-07-28';
const CLIENTS = [
  ['TypeScript SDK v1', (target, env) => sdkV1(target, 'legacy', env)],
  ['TypeScript SDK v2, legacy', (target, env) => sdkV2(target, 'legacy', env)],
  ['TypeScript SDK v2, auto', (target, env) => sdkV2(target, 'auto', env)],
  [`TypeScript SDK v2, ${MODERN}`, (target, env) => sdkV2(target, MODERN, env)],
  ['Python SDK, legacy', (target, env) => pythonSdk(target, 'legacy', env)],
  ['Python SDK, auto', (target, env) => pythonSdk(target, 'auto', env)],
  [`Python SDK, ${MODERN}`, (target, env) => pythonSdk(target, MODERN, env)],
  ...['legacy', 'auto', 'modern'].map((era) => [
    `inspector, ${era}`,
    async (target, env) => ({
      tools: await inspector(target, era, ['--method', 'tools/list'], env),
      call: await inspector(target, era, ['--method', 'tools/call', '--tool-name', 'test_multiple_content_types'], env),
      prompts: await inspector(target, era, ['--method', 'prompts/list'], env),
      resource: await inspector(target, era, ['--method', 'resources/read', '--uri', 'test://static-binary'], env),
    }),
  ]),
];

/**
 * What a filtered list may differ in: it is marked private, because each caller has his own
 * (2026-07-28), and a client shows that mark.
 */
function withoutCacheHints(report) {
  const hints = new Set(['cacheScope', 'ttlMs']);
  return JSON.parse(JSON.stringify(report), (key, value) => (hints.has(key) ? undefined : value));
}

const direct = {};
async function client([name, use], leg, target, env) {
  await test(`${name}, ${leg}`, async () => {
    const seen = withoutCacheHints(await use(target, env));
    if (leg === 'direct') {
      direct[name] = seen;
      return seen.version ?? '';
    }
    expect(direct[name], 'the direct run failed, so there is nothing to compare with');
    same(seen, direct[name], 'what the client saw');
    return 'as direct';
  });
}

async function clients() {
  const fixture = await start(binary('conformance-server'), ['--listen', '127.0.0.1:0']);
  for (const each of CLIENTS) await client(each, 'direct', { url: fixture.ready.url });
  let gate;
  let local;
  await test('gateway and connector start', async () => {
    gate = await gateway([`fixture=${fixture.ready.url}`]);
    local = await connector(gate.url('fixture'), gate.state);
  });
  if (!local) return fixture.stop();
  for (const each of CLIENTS) await client(each, 'connector over HTTP', { url: local.ready.endpoint });
  const [command, ...args] = stdioConnector(gate.url('fixture'), gate.state);
  for (const each of CLIENTS) await client(each, 'connector over stdio', { command, args });
  const env = { NODE_EXTRA_CA_CERTS: gate.ready.authority };
  const foreign = CLIENTS.filter(([name]) => !name.startsWith('Python'));
  for (const each of foreign) await client(each, 'no connector', { url: gate.foreign('fixture') }, env);
  await local.stop();
  await gate.stop();
  await fixture.stop();
}

async function servers() {
  const files = scratch('files');
  writeFileSync(join(files, 'hello.txt'), 'Hello through the lock.');
  const port = await freePort();
  const everything = await start(
    process.execPath,
    [...loopbackOnly, pkg('@modelcontextprotocol/server-everything/dist/index.js'), 'streamableHttp'],
    { env: { PORT: String(port) }, ready: (text) => (/listening|port/i.test(text) ? true : undefined) },
  );
  const stdio = (...words) => `stdio:${words.join(' ')}`;
  const targets = [
    `everything=http://127.0.0.1:${port}/mcp`,
    `fs=${stdio(process.execPath, pkg('@modelcontextprotocol/server-filesystem/dist/index.js'), files)}`,
    `time=${stdio(join(python, '..', 'mcp-server-time'))}`,
    `wire=${stdio(binary('wire-server'), '--stdio')}`,
  ];
  let gate;
  await test('a gateway starts in front of four servers', async () => {
    gate = await gateway(targets);
  });
  if (!gate) return everything.stop();
  await each(gate, files);
  await together(gate);
  await gate.stop();
  await everything.stop();
}

async function each(gate, files) {
  const calls = {
    everything: ['echo', { message: 'over and out' }, /over and out/],
    fs: ['read_text_file', { path: join(files, 'hello.txt') }, /Hello through the lock\./],
    time: ['convert_time', { source_timezone: 'UTC', time: '12:00', target_timezone: 'Asia/Tokyo' }, /21:00/],
    wire: ['exact', {}, /café/],
  };
  for (const [server, [tool, args, wanted]] of Object.entries(calls)) {
    await test(`server ${server}: ${tool}`, async () => {
      const local = await connector(gate.url(server), gate.state);
      const call = ['--method', 'tools/call', '--tool-name', tool, '--tool-args-json', JSON.stringify(args)];
      const result = await inspector({ url: local.ready.endpoint }, 'legacy', call);
      expect(wanted.test(JSON.stringify(result)), `it says ${JSON.stringify(result)}`);
      await local.stop();
    });
  }
}

async function together(gate) {
  await test('all four servers at /mcp, with prefixed names', async () => {
    const local = await connector(gate.ready.endpoint, gate.state);
    const target = { url: local.ready.endpoint };
    const listed = await inspector(target, 'legacy', ['--method', 'tools/list']);
    const names = (listed.result ?? listed).tools.map((tool) => tool.name);
    for (const server of ['everything', 'fs', 'time', 'wire']) {
      expect(names.some((name) => name.startsWith(server)), `no tool of ${server} in ${names}`);
    }
    const tool = names.find((name) => name.endsWith('convert_time'));
    const args = { source_timezone: 'UTC', time: '12:00', target_timezone: 'Asia/Tokyo' };
    const call = ['--method', 'tools/call', '--tool-name', tool, '--tool-args-json', JSON.stringify(args)];
    const result = await inspector(target, 'legacy', call);
    expect(/21:00/.test(JSON.stringify(result)), `${tool} says ${JSON.stringify(result)}`);
    await local.stop();
    return `${names.length} tools, ${tool} called`;
  });
}

async function freePort() {
  const { createServer } = await import('node:net');
  const server = createServer();
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address();
  await new Promise((resolve) => server.close(resolve));
  return port;
}

note(`Node.js ${process.version}`);
await section('clients', clients);
await section('servers', servers);
end();
