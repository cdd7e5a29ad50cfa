// Traces and figures, as OpenTelemetry sees them: a client and a server that trace by themselves, and a collector that reads
// by the protocol's own definition. And Prometheus's own tool on what it would scrape.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

import { eventually, lockgate } from './lib/agility.mjs';
import { binary, gateway, python, run, scratch, start } from './lib/processes.mjs';
import { end, expect, same, section, skip, test } from './lib/tap.mjs';

const traced = new URL('../python/traced.py', import.meta.url).pathname;
const promtool = process.env.TEST_PROMTOOL;
/** Kinds of spans by the protocol. */
const [INTERNAL, SERVER, CLIENT] = [1, 2, 3];
/** How long telemetry may take to arrive. */
const WAIT_MS_MAX = 30_000;

/** A collector, and what it was sent once that is enough. */
async function collector() {
  const started = await start(python, [traced, 'collect'], { input: 'pipe' });
  const lines = createInterface({ input: started.child.stdout })[Symbol.asyncIterator]();
  const look = async () => {
    started.child.stdin.write('\n');
    return JSON.parse((await lines.next()).value);
  };
  const until = async (enough) => {
    const late = performance.now() + WAIT_MS_MAX;
    for (;;) {
      const sent = await look();
      same(sent.wrong, [], 'what the collector could not read');
      if (enough(sent)) return sent;
      expect(performance.now() < late, `not enough: ${JSON.stringify(sent).slice(0, 2000)}`);
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  };
  return { port: started.ready.port, until, stop: started.stop };
}

await section('telemetry', async () => {
  const receiver = await collector();
  const folder = scratch('telemetry');
  const state = scratch('telemetry-state');
  await run(binary('lockgate'), ['secret', 'put', 'otel', '--state', state], { input: 'pipe', text: 'let-me-in' });
  const config = join(folder, 'lockgate.toml');
  const write = (traces) => writeFileSync(config, `
[telemetry]
otlp = "http://127.0.0.1:${receiver.port}"
token = "otel"
traces = ${traces}
metrics_s = 1
[[server]]
name = "traced"
command = ["${python}", "${traced}", "serve"]
`);
  write('0.0');
  const node = await gateway([], { state, args: ['--config', config] });
  const target = (mode) => JSON.stringify({
    mode, command: binary('lockgate'), args: ['connect', node.url('traced'), '--state', state],
  });

  for (const mode of ['legacy', 'auto']) {
    await test(`a client's trace goes through to its server (${mode})`, async () => {
      const { code, stdout, stderr } = await run(python, [traced, 'call', target(mode)]);
      expect(code === 0, stderr);
      const { told, calls } = JSON.parse(stdout);
      same([told.length, calls.length], [2, 2], 'calls');
      const sent = await receiver.until(({ spans }) => calls.every((call) => spans.some((s) => s.parent === call.span)));
      for (const [n, call] of calls.entries()) {
        const ours = sent.spans.find((span) => span.parent === call.span);
        same([ours.name, ours.kind, ours.trace], ['tools/call where', SERVER, call.trace], 'our span');
        const forward = sent.spans.find((span) => span.parent === ours.span && span.kind === CLIENT);
        // The server's span hangs below ours, not beside it.
        same([told[n].trace, told[n].parent], [call.trace, forward.span], "the server's span");
        const stages = sent.spans.filter((span) => span.parent === ours.span && span.kind === INTERNAL);
        const names = stages.map((span) => span.name.replace('lockgate.', '')).sort();
        same(names, ['bind', 'decode', 'permit', 'record', 'screen'], 'stages');
        same(ours.attributes['gen_ai.tool.name'], 'where', 'tool');
        same(ours.attributes['lockgate.quantum_safe'], true, 'posture');
        expect(/^\d+$/.test(ours.attributes['lockgate.audit.seq']), 'it names its record');
      }
    });
  }

  await test('what no caller traces is not traced, until the share says so', async () => {
    const spans = async () => (await receiver.until(() => true)).spans;
    const before = (await spans()).length;
    // Without a tracer of its own a client of the SDK says nothing.
    const plain = () => run(python, [traced, 'call', target('auto'), 'untraced']);
    same((await plain()).code, 0, 'calls');
    const status = await lockgate(node, 'exports');
    same([status.code, status.json.telemetry.map(({ kind }) => kind)], [0, ['traces', 'metrics']], 'standing');
    same((await spans()).length, before, 'spans');
    write('1.0');
    node.child.kill('SIGHUP');
    await eventually('calls are traced', async () => {
      same((await plain()).code, 0, 'calls');
      return (await spans()).length > before;
    });
    const own = (await spans()).slice(before).filter((span) => span.kind === SERVER);
    expect(own.length > 0 && own.every((span) => span.parent === null), JSON.stringify(own));
  });

  await test('figures come by the names of the conventions', async () => {
    const name = 'mcp.server.operation.duration';
    const { metrics } = await receiver.until(({ metrics: have }) => have[name] && have['lockgate.calls']);
    same([metrics[name].kind, metrics[name].unit], ['histogram', 's'], name);
    same(metrics['lockgate.calls'].kind, 'sum', 'calls');
    expect(metrics['lockgate.handshakes'], Object.keys(metrics).join(' '));
    return `${Object.keys(metrics).length} figures`;
  });

  await test('a collector that goes away is told of, and nobody waits for it', async () => {
    await receiver.stop();
    const { code } = await run(python, [traced, 'call', target('auto')]);
    same(code, 0, 'calls');
    await eventually('exports tells', async () => {
      const { code: shown, json } = await lockgate(node, 'exports');
      return shown === 1 && json.telemetry.every(({ problem }) => problem);
    });
  });

  const checks = "Prometheus's own tool finds nothing wrong with the figures";
  if (!promtool) skip(checks, 'promtool cannot be had here');
  else await test(checks, async () => {
    const text = await (await fetch(new URL('/metrics', node.ready.admin))).text();
    expect(text.includes('lockgate_calls_total{'), text);
    const { stdout, stderr } = await run(promtool, ['check', 'metrics'], { input: 'pipe', text });
    // It reads an older form, in which the help of a counter would stand under another name.
    const said = `${stdout}${stderr}`.split('\n').filter((line) => line && !/_total no help text$/.test(line));
    same(said, [], 'what it says');
  });
});

end();
