// Preloaded into the conformance suite when it examines an https:// endpoint.
//
// A few scenarios are written for http:// only: they call `http.request` with the endpoint's host
// and port, or put a foreign name in `Host`, which Node.js then also asks for in the handshake.
// Neither says anything about the server, so both go over TLS to the endpoint's own name.
const http = require('node:http');
const https = require('node:https');
const tls = require('node:tls');

const endpoint = new URL(process.env.TEST_ENDPOINT);
const atEndpoint = (options) =>
  String(options?.port) === endpoint.port && (options.hostname ?? options.host) === endpoint.hostname;

const request = http.request;
http.request = (options, ...rest) =>
  atEndpoint(options) ? https.request(options, ...rest) : request(options, ...rest);

const connect = tls.connect;
tls.connect = (options, ...rest) => {
  if (!atEndpoint(options)) return connect(options, ...rest);
  const checkServerIdentity = (_, certificate) =>
    tls.checkServerIdentity(endpoint.hostname, certificate);
  return connect({ ...options, servername: '', checkServerIdentity }, ...rest);
};
