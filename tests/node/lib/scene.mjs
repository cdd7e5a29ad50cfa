// A node with something to see: agents that call, are refused, are held, and bring names that no screen should trust.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { lockgate } from './agility.mjs';
import { binary, scratch, start } from './processes.mjs';

const POLICY = `
@id("reading") permit(principal, action, resource);
@id("no-hashing") forbid(principal, action, resource == Lockgate::Tool::"sample/sha256");
@id("counting-is-careful") @on_violation("hold")
forbid(principal, action, resource == Lockgate::Tool::"sample/word_count");
`;

/** Names that would harm a page that takes them for markup, or a reader who takes them for what they look like. */
export const HOSTILE = [
  '<img src=x onerror="window.harmed=1"><script>window.harmed=1</script>',
  'pay\u202eesrever\u2066',
  `long-${'x'.repeat(10_000)}`,
  'bell\u0007\u001b[31mred\u0000',
  '{{constructor.constructor("window.harmed=1")()}}${window.harmed=1}',
];

/** Starts the node; `write` is `admin.write`. */
export async function scene({ write = false, extra = '' } = {}) {
  const folder = scratch('scene');
  writeFileSync(join(folder, 'rules.cedar'), POLICY);
  const config = join(folder, 'lockgate.toml');
  writeFileSync(config, `[policy]\nfiles = ["rules.cedar"]\n[admin]\nwrite = ${write}\n${extra}`);
  const state = scratch('scene-state');
  const args = ['up', '--config', config, '--listen', '127.0.0.1:0', '--state', state, '--output', 'json'];
  const started = await start(binary('lockgate'), args);
  const { endpoint, admin } = started.ready;
  const server = new URL('/servers/sample/mcp', endpoint).href;
  return { ...started, state, config, folder, admin, server };
}

/** An agent of this name, enrolled by an invite: `call(tool, arguments)` gives the answer. */
export async function agent(node, name) {
  const { json } = await lockgate(node, 'identity', 'invite', '--name', name);
  const own = scratch(name);
  const { ready, stop } = await start(binary('lockgate'), [
    'connect', node.server, '--invite', json.code, '--listen', '127.0.0.1:0', '--state', own, '--output', 'json',
  ]);
  const url = ready.url ?? ready.listen ?? ready.endpoint;
  let session;
  let last = 0;
  const send = async (message) => {
    const headers = { 'content-type': 'application/json', accept: 'application/json, text/event-stream' };
    if (session) headers['mcp-session-id'] = session;
    const answer = await fetch(url, { method: 'POST', headers, body: JSON.stringify({ jsonrpc: '2.0', ...message }) });
    session ??= answer.headers.get('mcp-session-id') ?? undefined;
    const text = await answer.text();
    const data = /^data: (.*)$/m.exec(text)?.[1] ?? text;
    return data ? JSON.parse(data) : undefined;
  };
  const ask = (method, params) => send({ id: (last += 1), method, params });
  await ask('initialize', { protocolVersion: '2025-11-25', capabilities: {}, clientInfo: { name, version: '1' } });
  await send({ method: 'notifications/initialized' });
  const call = (tool, args) => ask('tools/call', { name: tool, arguments: args });
  return { call, ask, stop, state: own };
}

/** A URL for the dashboard, good once. */
export async function visit(node) {
  const { code, said, json } = await lockgate(node, 'dashboard');
  if (code !== 0) throw new Error(`lockgate dashboard: ${said}`);
  return json.url;
}
