// Starting and stopping programs: Lockgate, the fixtures, and servers that others wrote.
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** How long a program may take until it says that it is ready: a debug build on a busy machine. */
const READY_MS_MAX = 60_000;
/** How long a program may take to end after SIGTERM, and a command to do its work. */
const STOP_MS_MAX = 15_000;
const RUN_MS_MAX = 120_000;
/** What is kept of a program's diagnostics, for the report of a failure. */
const DIAGNOSTICS_CHARS_MAX = 20_000;

export const modules = process.env.TEST_NODE_MODULES;
export const python = process.env.TEST_PYTHON;
export const newestNode = process.env.TEST_NODE_NEWEST;
export const binary = (name) => join(process.env.TEST_BINARIES, name);
export const pkg = (path) => join(modules, path);

const running = new Set();
const folders = [];
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL');
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
});
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => process.exit(1));

/** A new folder that is removed at the end. */
export function scratch(name) {
  const folder = mkdtempSync(join(tmpdir(), `lockgate-${name}-`));
  folders.push(folder);
  return folder;
}

/** The environment without settings of Lockgate, which the person at the keyboard may have. */
const environment = Object.fromEntries(
  Object.entries(process.env).filter(([name]) => !name.startsWith('LOCKGATE_')),
);

function launch(command, args, { env = {}, cwd, input = 'ignore' } = {}) {
  const child = spawn(command, args, {
    cwd,
    env: { ...environment, ...env },
    stdio: [input, 'pipe', 'pipe'],
  });
  running.add(child);
  const output = { stdout: '', stderr: '' };
  for (const stream of ['stdout', 'stderr']) {
    child[stream].setEncoding('utf8');
    child[stream].on('data', (text) => {
      output[stream] += text;
      if (stream === 'stderr') output.stderr = output.stderr.slice(-DIAGNOSTICS_CHARS_MAX);
    });
  }
  const ended = new Promise((resolve) => {
    child.on('error', (error) => resolve({ code: null, error }));
    child.on('close', (code, signal) => {
      running.delete(child);
      resolve({ code, signal });
    });
  });
  return { child, output, ended };
}

/** Runs a command to its end: `{code, stdout, stderr}`. `ms` bounds its time. */
export async function run(command, args, options = {}) {
  const { child, output, ended } = launch(command, args, options);
  if (options.text !== undefined) child.stdin.end(options.text);
  const timer = setTimeout(() => child.kill('SIGKILL'), options.ms ?? RUN_MS_MAX);
  const { code, signal, error } = await ended;
  clearTimeout(timer);
  if (error) throw error;
  return { code, signal, ...output };
}

/**
 * Starts a program and waits until it is ready: until the first whole line on its standard output
 * (parsed as JSON), or until `ready(text)` returns something for what it has said so far.
 */
export async function start(command, args, options = {}) {
  const { child, output, ended } = launch(command, args, options);
  const name = `${command.split('/').at(-1)} ${args.join(' ')}`;
  const firstLine = () => {
    const end = output.stdout.indexOf('\n');
    return end < 0 ? undefined : JSON.parse(output.stdout.slice(0, end));
  };
  const ready = await new Promise((resolve, reject) => {
    const look = () => {
      try {
        const found = options.ready ? options.ready(output.stdout + output.stderr) : firstLine();
        if (found !== undefined) resolve(found);
      } catch (error) {
        reject(new Error(`${name} said something else when ready: ${output.stdout}\n${error}`));
      }
    };
    child.stdout.on('data', look);
    child.stderr.on('data', look);
    const late = () => reject(new Error(`${name} is not ready in time:\n${output.stderr}`));
    setTimeout(late, READY_MS_MAX).unref();
    ended.then(({ code, error }) => {
      reject(new Error(`${name} ended (${error ?? code}) before it was ready:\n${output.stderr}`));
    });
  });
  const stop = async () => {
    if (child.exitCode !== null || child.signalCode !== null) return ended;
    child.kill('SIGTERM');
    const timer = setTimeout(() => child.kill('SIGKILL'), STOP_MS_MAX);
    const result = await ended;
    clearTimeout(timer);
    return result;
  };
  return { ready, stop, child, output, ended };
}

/** A gateway for `targets` (`NAME=TARGET`), with its own state folder unless one is given. */
export async function gateway(targets, { state = scratch('gateway'), args = [] } = {}) {
  const to = targets.flatMap((target) => ['--to', target]);
  const started = await start(binary('lockgate'), [
    'gateway', ...to, '--listen', '127.0.0.1:0', '--state', state, '--output', 'json', ...args,
  ]);
  const { ready } = started;
  const server = (base, name) => new URL(`/servers/${name}/mcp`, base).href;
  return {
    ...started,
    state,
    url: (name) => server(ready.endpoint, name),
    foreign: (name) => server(ready.foreign, name),
  };
}

/** A connector for `url` that offers local HTTP, enrolled by the state folder it shares. */
export function connector(url, state) {
  return start(binary('lockgate'), [
    'connect', url, '--listen', '127.0.0.1:0', '--state', state, '--output', 'json',
  ]);
}

/** The command line of a connector that speaks stdio. */
export const stdioConnector = (url, state) => [binary('lockgate'), 'connect', url, '--state', state];

/** A server that others wrote and that can listen on every interface is kept on loopback. */
export const loopbackOnly = ['--require', new URL('loopback.cjs', import.meta.url).pathname];
