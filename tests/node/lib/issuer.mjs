// An authorization server that others wrote (oidc-provider), whose keys and habits can be changed while it runs, and a
// client of it that holds a key (DPoP, RFC 9449).
import { createHash, randomUUID } from 'node:crypto';
import http from 'node:http';

import { SignJWT, calculateJwkThumbprint, exportJWK, generateKeyPair } from 'jose';
import { Provider } from 'oidc-provider';

export const CLIENT = 'bot';
/** One that an SDK plays. */
export const STEPPER = { clientId: 'stepper', clientSecret: 'no-secret-either' };
const SECRET = 'not-a-secret-in-a-test';
/** What it can sign with here; ML-DSA needs Node.js 24.7 or later. */
const ALGORITHMS = ['ES256', 'PS256', 'ML-DSA-65'];

/** A signing key as a private JWK. */
export async function signingKey(alg) {
  const { privateKey } = await generateKeyPair(alg, { extractable: true });
  const jwk = await exportJWK(privateKey);
  return { ...jwk, alg, use: 'sig', kid: `${alg}-${randomUUID().slice(0, 8)}` };
}

/**
 * Starts one. `habits` is what it does with tokens: `{alg, seconds, scopes}`; `rotate(keys)` has it publish and use these
 * keys, and no others, from the next request on. `asked` counts the requests for its keys.
 */
export async function issuer(keys) {
  const habits = { alg: keys[0].alg, seconds: 300, scopes: 'read write' };
  let answer = () => {};
  const asked = { keys: 0 };
  const server = http.createServer((request, response) => {
    if (request.url === '/jwks') asked.keys += 1;
    answer(request, response);
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  const url = `http://127.0.0.1:${server.address().port}`;
  const resources = {
    enabled: true,
    defaultResource: () => undefined,
    useGrantedResource: () => true,
    getResourceServerInfo: (_, resource) => ({
      scope: habits.scopes,
      audience: resource,
      accessTokenTTL: habits.seconds,
      accessTokenFormat: 'jwt',
      jwt: { sign: { alg: habits.alg } },
    }),
  };
  const client = {
    client_id: CLIENT, client_secret: SECRET, grant_types: ['client_credentials'], redirect_uris: [], response_types: [],
    token_endpoint_auth_method: 'client_secret_post', scope: 'read write', id_token_signed_response_alg: 'ES256',
  };
  const stepper = {
    ...client, client_id: STEPPER.clientId, client_secret: STEPPER.clientSecret,
    token_endpoint_auth_method: 'client_secret_basic',
  };
  const rotate = (now) => {
    const provider = new Provider(url, {
      clients: [client, stepper],
      jwks: { keys: now },
      scopes: ['read', 'write'],
      enabledJWA: { idTokenSigningAlgValues: ALGORITHMS, dPoPSigningAlgValues: ['ES256', 'ML-DSA-44'] },
      features: {
        clientCredentials: { enabled: true },
        devInteractions: { enabled: false },
        dPoP: { enabled: true },
        resourceIndicators: resources,
      },
      ttl: { ClientCredentials: () => habits.seconds },
    });
    answer = provider.callback();
  };
  rotate(keys);
  return { url, habits, rotate, asked, stop: () => server.close() };
}

/** Holds a key, and proves it. */
export async function holder(alg = 'ES256') {
  const { publicKey, privateKey } = await generateKeyPair(alg, { extractable: true });
  const jwk = await exportJWK(publicKey);
  const proof = (method, url, token) => {
    const ath = token && { ath: createHash('sha256').update(token).digest('base64url') };
    return new SignJWT({ htm: method, htu: url, jti: randomUUID(), ...ath })
      .setProtectedHeader({ alg, typ: 'dpop+jwt', jwk }).setIssuedAt().sign(privateKey);
  };
  return { proof, thumbprint: await calculateJwkThumbprint(jwk) };
}

/** A token by client credentials for a resource, bound to the holder's key if there is one. */
export async function token(from, resource, { by, scope } = {}) {
  const form = new URLSearchParams({
    grant_type: 'client_credentials', client_id: CLIENT, client_secret: SECRET, resource, ...(scope && { scope }),
  });
  const headers = by && { dpop: await by.proof('POST', `${from.url}/token`) };
  const response = await fetch(`${from.url}/token`, { method: 'POST', body: form, headers });
  const answer = await response.json();
  if (!response.ok) throw new Error(`no token: ${JSON.stringify(answer)}`);
  return answer.access_token;
}

export { ALGORITHMS };
