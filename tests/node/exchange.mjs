// Credentials for a server by exchange: the server's authorization server, which others wrote (oidc-provider), gets a statement of
// the gateway about each caller, verifies it and the gateway's own assertion with the keys that the gateway publishes, and
// gives a token that the server sees in place of whatever the client showed.
import { readFileSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import { join } from 'node:path';

import { createLocalJWKSet, decodeJwt, jwtVerify } from 'jose';
import { Provider } from 'oidc-provider';

import { message, modern, send } from './lib/mcp.mjs';
import { binary, gateway, run, scratch, start } from './lib/processes.mjs';
import { signingKey } from './lib/issuer.mjs';
import { end, expect, note, same, section, test } from './lib/tap.mjs';

const EXCHANGE = 'urn:ietf:params:oauth:grant-type:token-exchange';
const JWT = 'urn:ietf:params:oauth:token-type:jwt';
const CLIENT = 'lockgate';

/** What tokens for a resource are like. */
const info = (audience) =>
  ({ scope: 'crm.read', audience, accessTokenFormat: 'jwt', jwt: { sign: { alg: 'ES256' } } });

const listening = (server) => new Promise((resolve) => {
  server.listen(0, '127.0.0.1', () => resolve(`http://127.0.0.1:${server.address().port}`));
});

/** The authorization server: its door is open at once, what stands behind comes when the gateway's keys are known. */
async function authority() {
  const said = { exchanges: [], seconds: 300, down: false };
  let answer = (_, response) => response.writeHead(503).end();
  const server = http.createServer((request, response) => {
    if (said.down) return response.writeHead(503).end('{"error":"temporarily_unavailable"}');
    return answer(request, response);
  });
  const url = await listening(server);
  const open = async (jwks, upstream) => {
    const client = {
      client_id: CLIENT, redirect_uris: [], response_types: [], grant_types: [EXCHANGE], scope: 'crm.read',
      token_endpoint_auth_method: 'private_key_jwt', token_endpoint_auth_signing_alg: 'ML-DSA-65', jwks,
      id_token_signed_response_alg: 'ES256',
    };
    const provider = new Provider(url, {
      clients: [client],
      jwks: { keys: [await signingKey('ES256')] },
      scopes: ['crm.read'],
      enabledJWA: { clientAuthSigningAlgValues: ['ML-DSA-65'], idTokenSigningAlgValues: ['ES256'] },
      features: {
        devInteractions: { enabled: false },
        resourceIndicators: {
          enabled: true,
          getResourceServerInfo: (_, resource) => {
            if (resource !== upstream) throw new Error(`another resource: ${resource}`);
            return info(resource);
          },
        },
      },
      ttl: { ClientCredentials: () => said.seconds },
      extraTokenClaims: (ctx) => ({ user: ctx.user }),
    });
    const keys = createLocalJWKSet(jwks);
    const exchange = async (ctx) => {
      const { subject_token: shown, subject_token_type: type, resource, scope } = ctx.oidc.params;
      if (type !== JWT) throw new Error(`a subject token of the type ${type}`);
      const { payload } = await jwtVerify(shown, keys, { audience: url, algorithms: ['ML-DSA-65'], typ: 'JWT' });
      const token = new provider.ClientCredentials({ client: ctx.oidc.client, scope });
      token.resourceServer = new provider.ResourceServer(resource, info(resource));
      ctx.user = payload.sub;
      said.exchanges.push({ ...payload, scope });
      ctx.body = {
        access_token: await token.save(), expires_in: token.expiration, token_type: token.tokenType,
        issued_token_type: 'urn:ietf:params:oauth:token-type:access_token',
      };
    };
    const params = ['subject_token', 'subject_token_type', 'requested_token_type', 'resource', 'scope'];
    provider.registerGrantType(EXCHANGE, exchange, params, []);
    answer = provider.callback();
  };
  return { url, said, open, stop: () => server.close() };
}

/** An MCP server that answers whose token it saw, and keeps what it was sent. */
async function crm() {
  const seen = { headers: [], refuse: 0 };
  const server = http.createServer((request, response) => {
    let body = '';
    request.on('data', (piece) => { body += piece; });
    request.on('end', () => {
      seen.headers.push(request.headers);
      if (seen.refuse > 0) {
        seen.refuse -= 1;
        return response.writeHead(401, { 'www-authenticate': 'Bearer' }).end();
      }
      const { id } = JSON.parse(body);
      const token = /^Bearer (.+)$/.exec(request.headers.authorization ?? '')?.[1];
      const text = token ? decodeJwt(token).user : 'nobody';
      const result = { resultType: 'complete', content: [{ type: 'text', text }] };
      response.setHeader('content-type', 'application/json');
      return response.end(JSON.stringify({ jsonrpc: '2.0', id, result }));
    });
  });
  return { url: `${await listening(server)}/mcp`, seen, stop: () => server.close() };
}

async function agent(gate, name) {
  const { stdout } = await run(binary('lockgate'), ['identity', 'invite', '--name', name, '--state', gate.state]);
  return start(binary('lockgate'), [
    'connect', gate.url('crm'), '--invite', stdout.trim(), '--listen', '127.0.0.1:0', '--state', scratch(name),
    '--output', 'json',
  ]);
}

const whoami = (bot, headers = {}) => send({ url: bot.ready.endpoint }, modern('whoami', {}, { headers }));
const said = (answer) => message(answer)?.result?.content?.[0]?.text;
const id = (name) => `spiffe://lockgate.internal/agent/${name}`;

async function all() {
  const [from, server] = [await authority(), await crm()];
  const state = scratch('exchange');
  const config = join(state, 'lockgate.toml');
  const policy = join(state, 'all.cedar');
  writeFileSync(policy, '@id("all") permit(principal, action, resource);\n');
  writeFileSync(config, `
[policy]
files = ["${policy}"]

[[server]]
name = "crm"
to = "${server.url}"
credential = { exchange = { issuer = "${from.url}", client_id = "${CLIENT}", scope = ["crm.read"] } }
`);
  const gate = await gateway([], { state, args: ['--config', config] });
  const leg = { url: gate.foreign('crm'), ca: readFileSync(gate.ready.authority) };
  const [ada, bob] = [await agent(gate, 'ada'), await agent(gate, 'bob')];

  await test('without a token nothing is sent, and the caller is not told why', async () => {
    const answer = await whoami(ada);
    expect(/no credential for this caller/.test(answer.text), answer.text);
    same(server.seen.headers.length, 0, 'what the server heard');
  });
  const jwks = JSON.parse((await send(leg, { method: 'GET', path: new URL('/oauth/jwks', leg.url).href })).text);
  await from.open(jwks, server.url);
  await new Promise((resolve) => setTimeout(resolve, 1200));

  await test('each caller gets a token of its own, once, and its own is not passed on', async () => {
    for (let n = 0; n < 3; n += 1) {
      same(said(await whoami(ada, { cookie: 'session=of-the-client' })), id('ada'), 'who ada is over there');
      same(said(await whoami(bob)), id('bob'), 'who bob is over there');
    }
    same(from.said.exchanges.length, 2, 'the exchanges');
    const { iss, sub, aud, act, scope, iat, exp } = from.said.exchanges[0];
    same([sub, aud, act ?? null, scope, exp - iat], [id('ada'), from.url, null, 'crm.read', 60], 'the statement');
    expect(iss === new URL(leg.url).origin, `the statement is of ${iss}`);
    expect(!JSON.stringify(server.seen.headers).includes('of-the-client'), 'what the client showed was passed on');
  });
  await test('a token that the server does not take is not shown again', async () => {
    server.seen.refuse = 1;
    const answer = await whoami(ada);
    expect(/401/.test(answer.text), answer.text);
    same(said(await whoami(ada)), id('ada'), 'who ada is then');
    same(from.said.exchanges.length, 3, 'the exchanges');
  });
  await test('a token is renewed at two thirds of its life, and used to its end when that fails', async () => {
    from.said.seconds = 6;
    server.seen.refuse = 1;
    await whoami(bob);
    same(said(await whoami(bob)), id('bob'), 'with a short token');
    const before = from.said.exchanges.length;
    from.said.down = true;
    await new Promise((resolve) => setTimeout(resolve, 4300));
    same(said(await whoami(bob)), id('bob'), 'with the old token');
    await new Promise((resolve) => setTimeout(resolve, 2200));
    expect(/no credential/.test((await whoami(bob)).text), 'it went on without');
    from.said.down = false;
    await new Promise((resolve) => setTimeout(resolve, 1200));
    same(said(await whoami(bob)), id('bob'), 'when it is up again');
    same(from.said.exchanges.length, before + 1, 'the exchanges');
  });
  await test('who has no id has no credential', async () => {
    const answer = await send(leg, modern('whoami', {}));
    expect(/no credential/.test(answer.text), answer.text);
  });
  for (const each of [ada, bob, gate]) await each.stop();
  from.stop();
  server.stop();
}

note(`Node.js ${process.version}`);
await section('credentials by exchange', all);
end();
