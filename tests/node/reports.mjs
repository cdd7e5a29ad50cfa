// Reports on a node that was used: every framework's OSCAL read by compliance-trestle, which others wrote; and the page
// printed by Debian's Chromium.
import { mkdtempSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';

import { binary, gateway, python, run, scratch, stdioConnector } from './lib/processes.mjs';
import { end, expect, section, test } from './lib/tap.mjs';

const here = (path) => new URL(path, import.meta.url).pathname;
const chromium = process.env.TEST_CHROMIUM;
const FRAMEWORKS = ['soc2', 'gdpr', 'iso27001', 'hipaa', 'nis2', 'pci', 'quantum'];
const today = new Date().toISOString().slice(0, 7);

const session = [
  {
    jsonrpc: '2.0', id: 1, method: 'initialize',
    params: { protocolVersion: '2025-11-25', capabilities: {}, clientInfo: { name: 'reports', version: '1' } },
  },
  { jsonrpc: '2.0', method: 'notifications/initialized' },
  { jsonrpc: '2.0', id: 2, method: 'tools/list', params: {} },
  { jsonrpc: '2.0', id: 3, method: 'tools/call', params: { name: 'no such <b>tool</b>', arguments: {} } },
];

/** A node that served a session and stopped; its state. */
async function used() {
  const gate = await gateway([`sample=stdio:${binary('lockgate')} sample`]);
  const [command, ...args] = stdioConnector(gate.url('sample'), gate.state);
  const text = session.map((message) => `${JSON.stringify(message)}\n`).join('');
  const spoken = await run(command, args, { text, input: 'pipe' });
  expect(spoken.stdout.includes('"id":2'), spoken.stderr);
  await gate.stop();
  return gate.state;
}

async function report(state, framework, out) {
  const args = ['report', framework, '--period', today, '--out', out, '--state', state, '--output', 'json'];
  const { code, stdout, stderr } = await run(binary('lockgate'), args);
  expect(code === 0, stderr);
  return JSON.parse(stdout);
}

await section('reports', async () => {
  const state = await used();
  const folder = scratch('reports');
  for (const framework of FRAMEWORKS) {
    const out = join(folder, framework);
    await test(`compliance-trestle reads the OSCAL of ${framework}, and refuses broken copies`, async () => {
      const written = await report(state, framework, out);
      expect(written.integrity.verdict === 'whole', JSON.stringify(written.integrity));
      const files = ['oscal-assessment-results.json', 'oscal-component-definition.json'];
      const read = await run(python, [here('../python/oscal.py'), ...files.map((file) => join(out, file))]);
      expect(read.code === 0, read.stdout + read.stderr);
      return read.stdout.trim();
    });
  }
  await test('Chromium prints the page to PDF, and loads and runs nothing for it', async () => {
    const page = join(folder, 'quantum', 'index.html');
    const pdf = join(folder, 'quantum.pdf');
    const args = [
      '--headless', '--no-sandbox', '--disable-gpu', `--user-data-dir=${mkdtempSync(join(folder, 'chromium-'))}`,
      '--enable-logging=stderr', '--no-pdf-header-footer', `--print-to-pdf=${pdf}`, `file://${page}`,
    ];
    const printed = await run(chromium, args);
    expect(printed.code === 0, printed.stderr);
    expect(!/CONSOLE/.test(printed.stderr), printed.stderr);
    expect(readFileSync(pdf).subarray(0, 5).toString() === '%PDF-', 'no PDF');
    return `${statSync(pdf).size} bytes`;
  });
});
end();
