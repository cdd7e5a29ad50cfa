// The clients that others wrote, each as one function from a target to what it saw there.
import { pkg, python, run } from './processes.mjs';

/** How long one client may take for its whole session. */
const CLIENT_MS_MAX = 90_000;

const here = (path) => new URL(path, import.meta.url).pathname;

async function json(command, args, env) {
  const { code, stdout, stderr } = await run(command, args, { env, ms: CLIENT_MS_MAX });
  if (code !== 0) throw new Error(`exit code ${code}\n${stderr.slice(-4000)}${stdout.slice(-2000)}`);
  return JSON.parse(stdout);
}

const script = (name) => (target, mode, env) => {
  const args = ['--import', here('packages.mjs'), here(`../clients/${name}.mjs`)];
  return json(process.execPath, [...args, JSON.stringify({ ...target, mode })], env);
};

/** The TypeScript SDK, versions 1 and 2. */
export const sdkV1 = script('sdk_v1');
export const sdkV2 = script('sdk_v2');

/** The same, for the calls that `target.calls` lists. */
export const callsV1 = script('calls_v1');
export const callsV2 = script('calls_v2');

/** The same with an authorization server, which has them step up. */
export const stepUp = script('step_up');

/** The Python SDK. */
export const pythonSdk = (target, mode, env) =>
  json(python, [here('../../python/client.py'), JSON.stringify({ ...target, mode })], env);

/** The MCP inspector's command line: one method a run, in era `legacy`, `auto` or `modern`. */
export function inspector(target, era, args, env) {
  const cli = pkg('@modelcontextprotocol/inspector/clients/launcher/build/index.js');
  const common = ['--cli', '--format', 'json', '--quiet', '--protocol-era', era, ...args];
  const where = target.url
    ? ['--transport', 'http', '--server-url', target.url]
    : ['--transport', 'stdio', '--', target.command, ...target.args];
  return json(process.execPath, [cli, ...common, ...where], env);
}
