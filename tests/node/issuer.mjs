// Access tokens of an issuer that others wrote, taken at the gateway itself: oidc-provider signs them, a client without a
// connector shows them. What does not hold is refused, with the check named in the audit log and nowhere else.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { SignJWT, decodeJwt, exportSPKI, importJWK } from 'jose';

import { eventually } from './lib/agility.mjs';
import { stepUp } from './lib/clients.mjs';
import { ALGORITHMS, CLIENT, STEPPER, holder, issuer, signingKey, token } from './lib/issuer.mjs';
import { message, modern, send } from './lib/mcp.mjs';
import { binary, gateway, run, scratch, start } from './lib/processes.mjs';
import { end, expect, note, same, section, test } from './lib/tap.mjs';

/** Keys are fetched for an unknown one once in so long: identity::token::KEYS_REFETCH_AFTER, and a moment. */
const REFETCH_MS = 31_000;

const ROLE = `
[role]
name = "reader"

[[allow]]
id = "text"
tools = ["crm/test_simple_text", "crm/test_image_content"]

[end]
`;

/** A gateway that takes the tokens of `from`, as `access` says. */
async function guarded(from, fixture, access, more = '') {
  const state = scratch('issuer');
  mkdirSync(join(state, 'policy'), { mode: 0o700 });
  writeFileSync(join(state, 'policy', 'reader.toml'), ROLE, { mode: 0o600 });
  const config = join(state, 'lockgate.toml');
  writeFileSync(config, `
[[server]]
name = "crm"
to = "${fixture.ready.url}"

[[server]]
name = "billing"
to = "${fixture.ready.url}"

[[attest]]
kind = "oidc"
issuer = "${from.url}"
audience = "https://gw.example"
claims = ["client_id"]
access = "${access}"

[[register]]
selectors = ["oidc:client_id:${CLIENT}"]
id = "agent/bot"
roles = ["reader"]
${more}`);
  const gate = await gateway([], { state, args: ['--config', config] });
  const ca = readFileSync(gate.ready.authority);
  const leg = { url: gate.foreign('crm'), ca };
  return { ...gate, config, leg, billing: { url: gate.foreign('billing'), ca } };
}

/** One call with a token; `by` proves its key. */
async function call(leg, shown, by, tool = 'test_simple_text') {
  const headers = by
    ? { authorization: `DPoP ${shown}`, dpop: await by.proof('POST', leg.url, shown) }
    : { authorization: `Bearer ${shown}` };
  return send(leg, modern(tool, {}, { headers }));
}

/** Why the last call was refused, as the audit log has it. */
async function reason(gate) {
  const { stdout } = await run(binary('lockgate'), ['audit', 'tail', '-n', '1', '--output', 'jsonl', '--state', gate.state]);
  return stdout;
}

async function refused(gate, answer, check) {
  expect(answer.status === 401, `status ${answer.status}: ${answer.text}`);
  const told = answer.headers['www-authenticate'] ?? '';
  expect(/error="invalid_(token|dpop_proof)"/.test(told) && told.includes('resource_metadata='), told);
  const said = await reason(gate);
  expect(check.test(said), `the log does not say ${check}: ${said}`);
  expect(!check.test(answer.text), `the caller is told too much: ${answer.text}`);
}

const accepted = (answer) =>
  expect(message(answer)?.result?.content?.[0]?.text, `status ${answer.status}: ${answer.text}`);

async function taken(gate, from, by) {
  await test('the metadata names the issuer, and the challenge leads there', async () => {
    const path = new URL(gate.leg.url).pathname;
    const answer = await call(gate.leg, 'no-token');
    same(answer.status, 401, 'the status without a good token');
    const place = new URL(`/.well-known/oauth-protected-resource${path}`, gate.leg.url).href;
    expect(answer.headers['www-authenticate'].startsWith(`Bearer resource_metadata="${place}"`), 'the challenge');
    const metadata = JSON.parse((await send(gate.leg, { method: 'GET', path: place })).text);
    same(metadata.resource, gate.leg.url, 'the resource');
    same(metadata.authorization_servers[0], from.url, 'the first authorization server');
    same(metadata.authorization_servers.length, 2, 'the number of authorization servers');
  });
  for (const alg of ALGORITHMS) {
    await test(`a token signed with ${alg} and bound by DPoP is taken`, async () => {
      from.habits.alg = alg;
      const shown = await token(from, gate.leg.url, { by });
      accepted(await call(gate.leg, shown, by));
      return `${shown.length} bytes`;
    });
  }
  from.habits.alg = ALGORITHMS[0];
}

async function wrong(gate, from, by, key) {
  const good = await token(from, gate.leg.url, { by });
  await test('another server of the same gateway does not take it: the audience is exact', async () => {
    await refused(gate, await call(gate.billing, good, by), /audience/);
  });
  for (const audience of [new URL('/', gate.leg.url).href, 'https://other.example/mcp']) {
    await test(`a token for ${new URL(audience).hostname}${new URL(audience).pathname} is refused`, async () => {
      const shown = await token(from, audience, { by });
      await refused(gate, await call(gate.leg, shown, by), /audience/);
    });
  }
  await test('a token that is over is refused', async () => {
    from.habits.seconds = 1;
    const shown = await token(from, gate.leg.url, { by });
    from.habits.seconds = 300;
    await new Promise((resolve) => setTimeout(resolve, 1500));
    await refused(gate, await call(gate.leg, shown, by), /expired/);
  });
  await test('a token that is good for a day is refused', async () => {
    from.habits.seconds = 86_400;
    const shown = await token(from, gate.leg.url, { by });
    from.habits.seconds = 300;
    await refused(gate, await call(gate.leg, shown, by), /at most 7200 s/);
  });
  await test('a token that is bound to nothing is refused', async () => {
    const shown = await token(from, gate.leg.url);
    await refused(gate, await call(gate.leg, shown), /bound to no key/);
  });
  await test('a stolen token is of no use without its key, nor with another', async () => {
    await refused(gate, await call(gate.leg, good), /DPoP/);
    await refused(gate, await call(gate.leg, good, await holder()), /another key/);
  });
  await test('a token of another issuer is refused', async () => {
    const stranger = await issuer([await signingKey('ES256')]);
    const shown = await token(stranger, gate.leg.url, { by });
    stranger.stop();
    await refused(gate, await call(gate.leg, shown, by), /issuer/);
  });
  await test('a token in the name of this issuer, signed by a stranger, is refused', async () => {
    const stranger = await signingKey('ES256');
    const forged = await new SignJWT(decodeJwt(good))
      .setProtectedHeader({ alg: 'ES256', typ: 'at+jwt', kid: key.kid }).sign(await importJWK(stranger));
    await refused(gate, await call(gate.leg, forged, by), /signature/);
  });
}

async function confused(gate, from, by, key) {
  const good = await token(from, gate.leg.url, { by });
  const [, payload] = good.split('.');
  const header = (members) => Buffer.from(JSON.stringify(members)).toString('base64url');
  await test('alg none is refused', async () => {
    const shown = `${header({ alg: 'none', typ: 'at+jwt' })}.${payload}.`;
    await refused(gate, await call(gate.leg, shown, by), /not signed/);
  });
  await test('a public key as a shared secret is refused', async () => {
    const { d, ...open } = key;
    const pem = await exportSPKI(await importJWK({ ...open, ext: true }, 'ES256', { extractable: true }));
    const shown = await new SignJWT(decodeJwt(good)).setProtectedHeader({ alg: 'HS256', typ: 'at+jwt', kid: key.kid })
      .sign(new TextEncoder().encode(pem));
    await refused(gate, await call(gate.leg, shown, by), /shared secret/);
  });
  await test('a key in the header is refused', async () => {
    const stranger = await signingKey('ES256');
    const { d, ...open } = stranger;
    const shown = await new SignJWT(decodeJwt(good)).setProtectedHeader({ alg: 'ES256', typ: 'at+jwt', jwk: open })
      .sign(await importJWK(stranger));
    await refused(gate, await call(gate.leg, shown, by), /jwk/);
  });
  await test('an identity token is no access token', async () => {
    const shown = await new SignJWT(decodeJwt(good)).setProtectedHeader({ alg: 'ES256', typ: 'JWT', kid: key.kid })
      .sign(await importJWK(key));
    await refused(gate, await call(gate.leg, shown, by), /type/);
  });
}

async function rotated(gate, from, by) {
  await test('a new key is taken up and the old one is good for nothing, without a restart', async () => {
    const old = await token(from, gate.leg.url, { by });
    accepted(await call(gate.leg, old, by));
    const next = await signingKey('ES256');
    await new Promise((resolve) => setTimeout(resolve, REFETCH_MS));
    from.rotate([next]);
    const shown = await token(from, gate.leg.url, { by });
    accepted(await call(gate.leg, shown, by));
    await refused(gate, await call(gate.leg, old, by), /has no key/);
    const before = from.asked.keys;
    const stranger = await signingKey('ES256');
    for (let n = 0; n < 5; n += 1) {
      const forged = await new SignJWT(decodeJwt(shown))
        .setProtectedHeader({ alg: 'ES256', typ: 'at+jwt', kid: `unknown-${n}` }).sign(await importJWK(stranger));
      await refused(gate, await call(gate.leg, forged, by), /has no key/);
    }
    same(from.asked.keys, before, 'how often strangers had the keys fetched');
  });
}

async function changed(gate, from, by) {
  const text = readFileSync(gate.config, 'utf8');
  const reload = async (now) => {
    writeFileSync(gate.config, now);
    gate.output.stderr = '';
    gate.child.kill('SIGHUP');
    await eventually('the reload', () => /reloaded: |not reloaded/.test(gate.output.stderr));
    expect(!/not reloaded|needs a restart/.test(gate.output.stderr), gate.output.stderr);
  };
  await test('an issuer that waives binding is a change of the configuration, without a restart, and said aloud', async () => {
    await reload(text.replace('access = "bound"', 'access = "unbound"'));
    accepted(await call(gate.leg, await token(from, gate.leg.url)));
    expect(/bound to nothing/.test(gate.output.stderr), 'no warning');
    const { stdout } = await run(binary('lockgate'), ['identity', 'trust', '--state', gate.state]);
    expect(/UNBOUND/.test(stdout), stdout);
  });
  await test('an agent that is registered no more is out, on open links, too', async () => {
    await reload(text.replace('roles = ["reader"]', 'roles = ["nobody"]'));
    const answer = await call(gate.leg, await token(from, gate.leg.url, { by }), by);
    expect(/-31001|denied/.test(answer.text), answer.text);
    await reload(text.replace(`client_id:${CLIENT}`, 'client_id:other'));
    await refused(gate, await call(gate.leg, await token(from, gate.leg.url, { by }), by), /registered/);
  });
  await test('an issuer that is taken out is a stranger', async () => {
    await reload(text.slice(0, text.indexOf('[[attest]]')));
    await refused(gate, await call(gate.leg, await token(from, gate.leg.url, { by }), by), /issuer/);
  });
}

/** What an SDK needs at first, and what for a picture. */
const SCOPES = `
[[register]]
selectors = ["oidc:client_id:${STEPPER.clientId}"]
id = "agent/stepper"
roles = ["reader"]

[[scope]]
servers = ["crm"]
needs = ["read"]

[[scope]]
servers = ["crm"]
tools = ["test_image_*"]
needs = ["write"]
`;

async function steps(fixture) {
  const from = await issuer([await signingKey('ES256')]);
  const gate = await guarded(from, fixture, 'bound', SCOPES);
  const env = { NODE_EXTRA_CA_CERTS: gate.ready.authority };
  const calls = ['test_simple_text', 'test_image_content', 'test_simple_text'].map((name) => ({ name, arguments: {} }));
  // Version 1 has no step up for clients without a person: it asks for the scopes that its provider was made with.
  const versions = {
    'v1 passes with the scopes that it was given': ['v1', { ...STEPPER, scope: 'read write' }, ['read write']],
    'v2 steps up when a tool needs more, and keeps what it had': ['v2', STEPPER, ['read', 'read write']],
  };
  for (const [name, [version, client, asked]] of Object.entries(versions)) {
    await test(`TypeScript SDK ${name}`, async () => {
      const seen = await stepUp({ url: gate.leg.url, issuer: from.url, client, calls }, version, env);
      same(seen.asked, asked, 'the scopes that it asked for');
      same(seen.calls.map((made) => made.isError), [false, false, false], `the calls: ${JSON.stringify(seen.calls)}`);
      same(seen.tools, ['test_image_content', 'test_simple_text'], 'the tools that it sees');
    });
  }
  await test('a token that does not reach is answered 403, with all that is needed', async () => {
    const by = await holder();
    const poor = await token(from, gate.leg.url, { by, scope: 'read' });
    const answer = await call(gate.leg, poor, by, 'test_image_content');
    same(answer.status, 403, 'the status');
    const told = answer.headers['www-authenticate'];
    for (const part of ['error="insufficient_scope"', 'scope="read write"', 'resource_metadata="']) {
      expect(told.includes(part), `${part} is missing: ${told}`);
    }
  });
  await gate.stop();
  from.stop();
}

async function all() {
  const fixture = await start(binary('conformance-server'), ['--listen', '127.0.0.1:0']);
  const keys = await Promise.all(ALGORITHMS.map(signingKey));
  const from = await issuer(keys);
  let gate;
  await test('a gateway starts that takes tokens of oidc-provider', async () => {
    gate = await guarded(from, fixture, 'bound');
    return from.url;
  });
  if (gate) {
    const by = await holder();
    await taken(gate, from, by);
    await test('a proof of a post-quantum key is taken', async () => {
      const strong = await holder('ML-DSA-44');
      accepted(await call(gate.leg, await token(from, gate.leg.url, { by: strong }), strong));
    });
    await wrong(gate, from, by, keys[0]);
    await confused(gate, from, by, keys[0]);
    await rotated(gate, from, by);
    await changed(gate, from, by);
    await gate.stop();
  }
  from.stop();
  await section('scopes', () => steps(fixture));
  await fixture.stop();
}

note(`Node.js ${process.version}`);
await section('a foreign issuer', all);
end();
