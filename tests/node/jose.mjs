// The other side of crates/identity/tests/jose.rs: verifies what Lockgate signed and signs what Lockgate verifies, with a
// JOSE library that others wrote. Reads JSON from standard input, writes JSON to standard output.
import { readFileSync } from 'node:fs';
import {
  EmbeddedJWK, SignJWT, calculateJwkThumbprint, createLocalJWKSet, exportJWK, generateKeyPair, jwtVerify,
} from 'jose';

const ALGORITHMS = ['ML-DSA-44', 'ML-DSA-65', 'ML-DSA-87', 'ES256', 'ES384', 'EdDSA', 'Ed25519', 'RS256', 'PS256'];

/** What they find in our tokens and proofs; throws at the first that does not verify. */
async function verified({ tokens, proofs, now }) {
  const options = { currentDate: new Date(now * 1000) };
  const found = [];
  for (const { token, jwks, audience, issuer } of tokens) {
    const keys = createLocalJWKSet(jwks);
    const { payload, protectedHeader } = await jwtVerify(token, keys, { ...options, audience, issuer, typ: 'at+jwt' });
    const thumbprint = await calculateJwkThumbprint(jwks.keys[0]);
    found.push({ alg: protectedHeader.alg, kid: protectedHeader.kid, thumbprint, sub: payload.sub, cnf: payload.cnf });
  }
  const shown = [];
  for (const proof of proofs) {
    const { protectedHeader } = await jwtVerify(proof, EmbeddedJWK, { ...options, typ: 'dpop+jwt' });
    shown.push(await calculateJwkThumbprint(protectedHeader.jwk));
  }
  return { found, shown };
}

/** Tokens and proofs of theirs, by each algorithm. */
async function signed({ now, audience, target, token }) {
  const made = [];
  for (const alg of ALGORITHMS) {
    const { publicKey, privateKey } = await generateKeyPair(alg, { extractable: true });
    const jwk = await exportJWK(publicKey);
    const kid = await calculateJwkThumbprint(jwk);
    const claims = { sub: 'workload', nested: { a: [1, 2, { b: 'é' }] } };
    const identity = await new SignJWT(claims).setProtectedHeader({ alg, kid, typ: 'JWT' })
      .setIssuer('https://idp.example').setAudience([audience, 'other']).setIssuedAt(now).setExpirationTime(now + 600)
      .sign(privateKey);
    const bytes = new Uint8Array(await globalThis.crypto.subtle.digest('SHA-256', new TextEncoder().encode(token)));
    const ath = Buffer.from(bytes).toString('base64url');
    const proof = await new SignJWT({ htm: 'POST', htu: target, ath, jti: `proof-${alg}` })
      .setProtectedHeader({ alg, typ: 'dpop+jwt', jwk }).setIssuedAt(now).sign(privateKey);
    made.push({ alg, kid, jwk: { ...jwk, kid, alg, use: 'sig' }, identity, proof });
  }
  return made;
}

const given = JSON.parse(readFileSync(0, 'utf8'));
process.stdout.write(JSON.stringify({ ...(await verified(given)), made: await signed(given) }));
