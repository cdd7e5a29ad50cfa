// The official MCP conformance suite: against the fixture itself, and again through Lockgate.
//
// The suite's exit code is blind to a check that disappears, so every check of the run through
// Lockgate must have the status that it has in the direct run.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

import { binary, connector, gateway, pkg, run, scratch, start } from './lib/processes.mjs';
import { end, expect, note, section, test } from './lib/tap.mjs';

const REVISIONS = { '2025-11-25': 30, '2026-07-28': 37 };
/** Not required by the suite, and required here: what a gateway must get right before policy. */
const ALSO_REQUIRED = ['http-header-validation', 'http-custom-header-server-validation'];
/** Opens streams for a fixed time: a check more or less depends on the machine. */
const VARIES_BY_ONE = 'server-stateless';
/** Remarks of the suite, as many as there were events. */
const REMARK = 'INFO';
const SUITE_MS_MAX = 300_000;

/** Runs the suite: its exit code, what it printed, and `{scenario: {check: [status]}}`. */
async function examine(url, revision, env = {}) {
  const results = scratch(`conformance-${revision}`);
  const suite = pkg('@modelcontextprotocol/conformance/dist/index.js');
  const args = [suite, 'server', '--url', url, '--requirements', revision, '-o', results];
  const tls = url.startsWith('https:');
  const preload = ['--require', new URL('lib/over_tls.cjs', import.meta.url).pathname];
  const { code, stdout, stderr } = await run(
    process.execPath,
    [...(tls ? preload : []), ...args],
    { ms: SUITE_MS_MAX, env: tls ? { ...env, TEST_ENDPOINT: url } : {} },
  );
  return { code, printed: stdout + stderr, scenarios: read(results) };
}

function read(results) {
  const scenarios = {};
  for (const folder of readdirSync(results)) {
    const name = folder.replace(/^server-/, '').replace(/-\d{4}-\d\d-\d\dT[\dZ-]+$/, '');
    const checks = (scenarios[name] ??= {});
    for (const check of JSON.parse(readFileSync(join(results, folder, 'checks.json'), 'utf8'))) {
      if (check.status === REMARK) continue;
      (checks[check.id] ??= []).push({ status: check.status, reason: check.errorMessage });
    }
  }
  return scenarios;
}

const statuses = (checks = []) => checks.map((check) => check.status).sort();

/** The checks of one scenario that differ, as lines. */
function differences(direct, through) {
  const ids = new Set([...Object.keys(direct), ...Object.keys(through)]);
  const lines = [];
  for (const id of [...ids].sort()) {
    const [wanted, got] = [statuses(direct[id]), statuses(through[id])];
    if (wanted.join() === got.join()) continue;
    const reasons = (through[id] ?? []).map((check) => check.reason).filter(Boolean);
    lines.push(`${id}: direct ${wanted.join() || 'absent'}, through ${got.join() || 'absent'}`);
    lines.push(...reasons.map((reason) => `    ${reason}`));
  }
  return lines;
}

const size = (checks) => Object.values(checks).flat().length;
const failures = (checks) =>
  Object.entries(checks).flatMap(([id, list]) =>
    list.filter((check) => check.status === 'FAILURE').map((check) => `${id}: ${check.reason}`));

async function direct(url) {
  const runs = {};
  for (const [revision, required] of Object.entries(REVISIONS)) {
    await test(`direct, ${revision}: all required scenarios`, async () => {
      const result = await examine(url, revision);
      runs[revision] = result.scenarios;
      expect(result.code === 0, `the suite says:\n${result.printed.slice(-4000)}`);
      const listed = requirements(revision);
      expect(listed.length === required, `${listed.length} are required, not ${required}`);
      const absent = listed.filter((name) => !result.scenarios[name]);
      expect(absent.length === 0, `these did not run: ${absent.join(', ')}`);
      const checks = listed.reduce((sum, name) => sum + size(result.scenarios[name]), 0);
      return `${listed.length} scenarios, ${checks} checks`;
    });
    await test(`direct, ${revision}: no check of any scenario fails`, () => {
      const bad = Object.entries(runs[revision] ?? {}).flatMap(([name, checks]) =>
        failures(checks).map((failure) => `${name}: ${failure}`));
      expect(bad.length === 0, bad.join('\n'));
      return `${Object.keys(runs[revision]).length} scenarios`;
    });
  }
  for (const scenario of ALSO_REQUIRED) {
    await test(`direct, 2026-07-28: ${scenario}`, () => {
      const checks = runs['2026-07-28']?.[scenario];
      expect(checks && size(checks) > 0, 'it did not run');
      expect(failures(checks).length === 0, failures(checks).join('\n'));
      return `${size(checks)} checks`;
    });
  }
  return runs;
}

function requirements(revision) {
  const file = pkg(`@modelcontextprotocol/conformance/requirements/${revision}.yaml`);
  const lines = readFileSync(file, 'utf8').split('\n');
  const start = lines.indexOf('server:') + 1;
  const listed = lines.slice(start).findIndex((line) => !line.startsWith('  - '));
  return lines.slice(start, start + listed).map((line) => line.slice(4).trim());
}

async function through(leg, url, runs) {
  for (const revision of Object.keys(REVISIONS)) {
    let result;
    await test(`${leg.name}, ${revision}: the suite runs`, async () => {
      result = await examine(url, revision, leg.env);
      expect(Object.keys(result.scenarios).length > 0, result.printed.slice(-4000));
      return `${Object.keys(result.scenarios).length} scenarios, exit code ${result.code}`;
    });
    if (!result || !runs[revision]) continue;
    const names = new Set([...Object.keys(runs[revision]), ...Object.keys(result.scenarios)]);
    for (const name of [...names].sort()) {
      await test(`${leg.name}, ${revision}: ${name}`, () => {
        const [wanted, got] = [runs[revision][name] ?? {}, result.scenarios[name] ?? {}];
        const lines = differences(wanted, got);
        const varies = name === VARIES_BY_ONE && Math.abs(size(wanted) - size(got)) === 1;
        if (varies && failures(got).length === 0) return `${size(got)} checks, one more or less`;
        expect(lines.length === 0, lines.join('\n'));
        return `${size(got)} checks as direct`;
      });
    }
  }
}

/**
 * The suite's scenarios of clients that log in, which it plays against a client with a server and an authorization server of
 * its own. None can run through the gateway, and each reason holds for its whole group.
 */
const WITHOUT_THE_CLIENT_LEG = [
  {
    why: 'the client must find the metadata of the suite\'s own server and show its token there; in between is a resource '
      + 'server of its own, whose metadata names itself, and which passes no token on',
    scenarios: [
      'metadata-default', 'metadata-var1', 'metadata-var2', 'metadata-var3', 'basic-cimd', 'scope-from-www-authenticate',
      'scope-from-scopes-supported', 'scope-omitted-when-undefined', 'token-endpoint-auth-basic',
      'token-endpoint-auth-post', 'token-endpoint-auth-none', 'pre-registration', 'offline-access-scope',
      'offline-access-not-supported', 'authorization-server-migration', 'iss-supported', 'iss-not-advertised',
    ],
  },
  {
    why: 'the gateway could be the client here, but the suite hands it the key, the secret or the statement to show; the '
      + 'gateway vouches for its callers with its own keys alone, which exchange.mjs tests',
    scenarios: [
      'client-credentials-jwt', 'client-credentials-basic', 'enterprise-managed-authorization', 'wif-jwt-bearer',
    ],
  },
  {
    why: 'the suite\'s tokens are words (test-token-…), which only its own server can judge, and so are their scopes; '
      + 'issuer.mjs has the SDK step up at the gateway, with an authorization server that signs its tokens',
    scenarios: ['scope-step-up', 'scope-retry-limit'],
  },
  {
    why: 'its proofs must name the suite\'s own server; issuer.mjs proves keys at the gateway, and '
      + 'the Rust tests ask for nonces',
    scenarios: ['dpop', 'dpop-nonce'],
  },
  {
    why: 'it passes when the client gives up, which through a gateway it does for other reasons: it would show nothing',
    scenarios: [
      'resource-mismatch', 'iss-supported-missing', 'iss-wrong-issuer', 'iss-unexpected', 'iss-normalized',
      'metadata-issuer-mismatch',
    ],
  },
  {
    why: 'authorization as in the revision 2025-03-26, where a server is its own authorization server, is not offered',
    scenarios: ['2025-03-26-oauth-metadata-backcompat', '2025-03-26-oauth-endpoint-fallback'],
  },
];
/** What the suite wants of every authorization server, and one where nobody logs in has not got (RFC 8414, section 2). */
const OF_LOGGING_IN = ['authorization_endpoint', 'response_types_supported', 'code_challenge_methods_supported'];
/** Scenarios of authorization servers that need a person to log in. */
const WITH_A_PERSON = ['authorization-code-grant'];

const suite = (args, more) =>
  run(process.execPath, [pkg('@modelcontextprotocol/conformance/dist/index.js'), ...args], more);

const listed = async (kind) => {
  const { stdout } = await suite(['list', kind]);
  return [...stdout.matchAll(/^ {2}- (\S+) \[/gm)].map((found) => found[1]).sort();
};

/** The suite on authorization: what is asked of the gateway's own endpoint, and why the rest is not. */
async function authorization(gate) {
  await test('every scenario of clients that log in has a reason not to be here', async () => {
    const known = WITHOUT_THE_CLIENT_LEG.flatMap(({ scenarios }) => scenarios.map((name) => `auth/${name}`)).sort();
    const there = (await listed('--client')).filter((name) => name.startsWith('auth/'));
    expect(known.join() === there.join(), `the suite has ${there.join(', ')}`);
    for (const { why, scenarios } of WITHOUT_THE_CLIENT_LEG) note(`auth/{${scenarios.join(', ')}}: ${why}`);
    return `${known.length} scenarios`;
  });
  await test('every scenario of authorization servers is run, or needs a person', async () => {
    const there = await listed('--authorization');
    const known = ['authorization-server-metadata-endpoint', ...WITH_A_PERSON].sort();
    expect(known.join() === there.join(), `the suite has ${there.join(', ')}`);
  });
  for (const revision of Object.keys(REVISIONS)) {
    await test(`authorization server, ${revision}: its metadata lacks only what logging in takes`, async () => {
      const results = scratch('authorization');
      const scenario = 'authorization-server-metadata-endpoint';
      const { origin } = new URL(gate.ready.foreign);
      const args = ['--url', origin, '--scenario', scenario, '--spec-version', revision, '-o', results];
      const { stdout } = await suite(['authorization', ...args], { env: { NODE_EXTRA_CA_CERTS: gate.ready.authority } });
      const [folder] = readdirSync(results);
      expect(folder, `it did not run:\n${stdout}`);
      const checks = JSON.parse(readFileSync(join(results, folder, 'checks.json'), 'utf8'));
      const failed = checks.filter((check) => check.status === 'FAILURE');
      const wanted = OF_LOGGING_IN.map((claim) => `Response body does not include valid "${claim}" claim`).join(', ');
      const found = failed.map((check) => check.errorMessage).join('\n');
      expect(found === wanted, `got: ${found}`);
    });
  }
}

const fixture = await start(binary('conformance-server'), ['--listen', '127.0.0.1:0']);
const runs = await direct(fixture.ready.url);

let gate;
await test('the gateway starts in front of the fixture', async () => {
  gate = await gateway([`conformance=${fixture.ready.url}`]);
  return gate.ready.endpoint;
});
if (gate) {
  let local;
  await test('the connector starts in front of the gateway', async () => {
    local = await connector(gate.url('conformance'), gate.state);
    return local.ready.endpoint;
  });
  if (local) {
    await through({ name: 'connector' }, local.ready.endpoint, runs);
    await local.stop();
  }
  const env = { NODE_EXTRA_CA_CERTS: gate.ready.authority };
  await through({ name: 'foreign', env }, gate.foreign('conformance'), runs);
  await section('authorization', () => authorization(gate));
  await test('the gateway stops', async () => {
    const { code, signal } = await gate.stop();
    expect(code === 0, `exit code ${code ?? signal}:\n${gate.output.stderr}`);
  });
}
await fixture.stop();
end();
