// The TypeScript SDKs with an authorization server of others: they get a token, use it, and get one with more scopes when they
// are told to. They know nothing of DPoP, so their requests are given the proofs on the way out; what is asked for when is theirs.
import * as v2 from '@modelcontextprotocol/client';
import { auth } from '@modelcontextprotocol/sdk/client/auth.js';
import { ClientCredentialsProvider } from '@modelcontextprotocol/sdk/client/auth-extensions.js';
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';

import { holder } from '../lib/issuer.mjs';
import { made } from './made.mjs';
import { report, target } from './session.mjs';

const VERSIONS = {
  v1: { auth, ClientCredentialsProvider, StreamableHTTPClientTransport, client: () => new Client({ name: 'step-up', version: '1' }) },
  v2: {
    ...v2,
    client: () => new v2.Client({ name: 'step-up', version: '2' }, { versionNegotiation: { mode: 'auto' } }),
  },
};

/** The scopes of the tokens that the SDK asked for, in their order. */
const asked = [];

/** `fetch` of a client that holds a key. */
function proving(by) {
  return async (input, init = {}) => {
    const url = String(input?.url ?? input);
    const method = init.method ?? 'GET';
    const headers = new Headers(init.headers);
    const bearer = /^Bearer (.+)$/.exec(headers.get('authorization') ?? '')?.[1];
    if (bearer) {
      headers.set('authorization', `DPoP ${bearer}`);
      headers.set('dpop', await by.proof(method, url, bearer));
    } else if (url === `${target.issuer}/token`) {
      asked.push(new URLSearchParams(init.body).get('scope') ?? '');
      headers.set('dpop', await by.proof(method, url));
    }
    return fetch(url, { ...init, headers });
  };
}

async function work() {
  const sdk = VERSIONS[target.mode];
  const fetchFn = proving(await holder());
  const provider = new sdk.ClientCredentialsProvider({ ...target.client, expectedIssuer: target.issuer });
  const serverUrl = new URL(target.url);
  await sdk.auth(provider, { serverUrl, fetchFn });
  const client = sdk.client();
  await client.connect(new sdk.StreamableHTTPClientTransport(serverUrl, { authProvider: provider, fetch: fetchFn }));
  return { ...(await made(client, (call) => client.callTool(call))), asked };
}

await report(work());
