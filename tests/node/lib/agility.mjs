// A gateway with a listener for each profile, and the commands that change what is in force.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { binary, gateway, run, scratch } from './processes.mjs';

/** How long something that follows a change may take to show. */
const SHOWN_MS_MAX = 60_000;
const LOOK_MS = 50;

/**
 * A gateway for `targets` with further listeners, all for clients without a connector: `{name: profile}`, or
 * `{name: {profile, certificate, key}}` with files from outside. `base(name)` leads to a listener, `server(name, id)`
 * to a server through it.
 */
export async function agile(targets, listeners) {
  const file = join(scratch('agile'), 'lockgate.toml');
  const sections = Object.entries(listeners).map(([name, plan]) => {
    const { profile = plan, certificate, key } = plan;
    const tls = certificate ? `tls = { certificate = "${certificate}", key = "${key}" }\n` : '';
    return `[[listener]]\nname = "${name}"\naddress = "127.0.0.1:0"\nprofile = "${profile}"\n${tls}`;
  });
  writeFileSync(file, sections.join('\n'));
  const gate = await gateway(targets, { args: ['--config', file] });
  const { node } = await status(gate);
  const bases = Object.fromEntries(node.listeners.map(({ name, url }) => [name, url]));
  const base = (name) => bases[name];
  return { ...gate, base, server: (name, id) => new URL(`/servers/${id}/mcp`, base(name)).href };
}

/** Runs `lockgate WORDS --state … --output json`: `{code, said, json}`; a refusal is JSON too. */
export async function lockgate(gate, ...words) {
  const args = [...words, '--state', gate.state, '--output', 'json'];
  const { code, stdout, stderr } = await run(binary('lockgate'), args);
  const document = [stdout, stderr].find((text) => text.startsWith('{'));
  return { code, said: stdout + stderr, json: document && JSON.parse(document) };
}

/** `lockgate crypto WORDS`, which has to work; gives the document that it printed. */
export async function crypto(gate, ...words) {
  const { code, said, json } = await lockgate(gate, 'crypto', ...words);
  if (code !== 0) throw new Error(`lockgate crypto ${words.join(' ')}: exit code ${code}: ${said}`);
  return json;
}

/** `lockgate status`. */
export async function status(gate) {
  const { code, said, json } = await lockgate(gate, 'status');
  if (code !== 0) throw new Error(`lockgate status: exit code ${code}: ${said}`);
  return json;
}

/** The live links of a listener. */
export async function links(gate, listener) {
  const { links: all } = await status(gate);
  return all.filter((link) => link.listener === listener);
}

/** Looks until `body` gives something, and gives that. */
export async function eventually(what, body) {
  for (const last = Date.now() + SHOWN_MS_MAX; ; ) {
    const found = await body();
    if (found) return found;
    if (Date.now() > last) throw new Error(`never seen: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
  }
}
