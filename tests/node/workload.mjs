// The SPIFFE Workload API, as stock clients see it: the `spiffe` packages of Python and Rust, which know nothing of
// Lockgate.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { binary, python, run, scratch, start } from './lib/processes.mjs';
import { end, expect, same, section, test } from './lib/tap.mjs';

const client = new URL('../python/workload.py', import.meta.url).pathname;
const uid = process.getuid();
/** The Rust client is built when it is first run. */
const BUILD_MS_MAX = 900_000;

/** A node that attests processes, with these registrations. */
async function node(registrations, profile = 'pq-kex') {
  const folder = scratch('workload');
  const config = join(folder, 'lockgate.toml');
  writeFileSync(config, `
[node]
foreign = "127.0.0.1:0"
[[listener]]
name = "further"
address = "127.0.0.1:0"
profile = "${profile}"
[[attest]]
kind = "process"
[[attest]]
kind = "parent"
${registrations}`);
  const state = join(folder, 'state');
  const words = ['up', '--listen', '127.0.0.1:0', '--config', config, '--state', state, '--output', 'json'];
  const running = await start(binary('lockgate'), words);
  return { running, state, socket: join(state, 'workload.sock') };
}

const register = (selectors, id, more = '') =>
  `[[register]]\nselectors = ${JSON.stringify(selectors)}\nid = "${id}"\n${more}\n`;

await section('a stock SPIFFE client', async () => {
  const mine = [`unix:uid:${uid}`, 'unix:interpreter:python'];
  const { state, socket } = await node(register(mine, 'agent/billing', 'roles = ["billing"]'));
  await test('gets an SVID that it can read and verify', async () => {
    const { code, stdout, stderr } = await run(python, [client, socket]);
    expect(code === 0, stderr);
    const found = JSON.parse(stdout);
    same(found.id, 'spiffe://lockgate.internal/agent/billing', 'id');
    same([found.key, found.verified], ['ec', true], 'key and signature');
    return `${found.roots} roots`;
  });
  await test('gets a JWT-SVID that its own library reads, and the node finds good', async () => {
    const { code, stdout, stderr } = await run(python, [client, socket, 'crm']);
    expect(code === 0, stderr);
    const { jwt } = JSON.parse(stdout);
    const id = 'spiffe://lockgate.internal/agent/billing';
    same([jwt.id, jwt.validated, jwt.keys], [id, id, 1], 'subject, validated subject and keys');
  });
  await test('the record says what was proven', async () => {
    const { stdout } = await run(binary('lockgate'), ['audit', 'tail', '--state', state, '--output', 'jsonl']);
    const records = stdout.trim().split('\n').map((line) => JSON.parse(line));
    const issued = records.find(({ method }) => method === 'identity/svid');
    expect(issued?.reason.includes('unix:sha256:'), JSON.stringify(issued));
  });
});

await section('a stock SPIFFE client in Rust', async () => {
  const { socket } = await node(register([`unix:uid:${uid}`], 'agent/billing'));
  await test('gets both kinds of SVID, and its bundles', async () => {
    const manifest = new URL('../spiffe/Cargo.toml', import.meta.url).pathname;
    const words = ['run', '--quiet', '--locked', '--manifest-path', manifest, '--', socket, 'crm'];
    const { code, stdout, stderr } = await run('cargo', words, { ms: BUILD_MS_MAX });
    expect(code === 0, stderr);
    const id = 'spiffe://lockgate.internal/agent/billing';
    const found = JSON.parse(stdout);
    same([found.id, found.jwt, found.validated, found.keys], [id, id, id, true], 'what it read');
    expect(found.roots > 0, stdout);
  });
});

await section('a stock SPIFFE client that nothing covers', async () => {
  const { state, socket } = await node(register([`unix:uid:${uid + 1}`], 'agent/other'));
  await test('is refused, and told no more than that', async () => {
    const { code, stderr } = await run(python, [client, socket]);
    same(code, 1, 'exit code');
    expect(stderr.includes('no identity is registered') && !stderr.includes('unix:uid'), stderr);
  });
  await test('whoami says what would cover it', async () => {
    const words = ['identity', 'whoami', '--state', state, '--output', 'json'];
    const { stdout } = await run(binary('lockgate'), words);
    const { process: seen } = JSON.parse(stdout);
    expect(seen.selectors.includes(`unix:uid:${uid}`), stdout);
    same(seen.registrations, [], 'registrations');
  });
});

end();
