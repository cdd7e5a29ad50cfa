// MCP over HTTP without an SDK, so that a test decides about every byte and sees every byte.
import http from 'node:http';
import https from 'node:https';
import tls from 'node:tls';

const REQUEST_MS_MAX = 60_000;
export const MODERN = '2026-07-28';
const LEGACY = '2025-11-25';

/** Starts a request. Resolves at the head of the response: `{status, headers, response, abort}`. */
export function open(leg, { method = 'POST', headers = {}, body, path = leg.url, signal } = {}) {
  const secure = path.startsWith('https:');
  // The certificate is that of the endpoint, whatever a test puts into `Host`.
  const { hostname } = new URL(path);
  const checkServerIdentity = (_, certificate) => tls.checkServerIdentity(hostname, certificate);
  const trust = secure && { ca: leg.ca, servername: '', checkServerIdentity };
  const options = { method, headers, signal, agent: false, setHost: !('host' in headers), ...trust };
  return new Promise((resolve, reject) => {
    const request = (secure ? https : http).request(path, options);
    request.setTimeout(REQUEST_MS_MAX, () => request.destroy(new Error('no answer in time')));
    request.on('error', reject);
    request.on('response', (response) => {
      const { statusCode: status, headers: answered } = response;
      response.on('error', () => {});
      resolve({ status, headers: answered, response, abort: () => request.destroy() });
    });
    request.end(body);
  });
}

/** The whole body of an opened response. `broken` says that it ended too early. */
export async function whole({ response }) {
  const pieces = [];
  let broken = false;
  try {
    for await (const piece of response) pieces.push(piece);
  } catch {
    broken = true;
  }
  return { bytes: Buffer.concat(pieces), broken: broken || !response.complete };
}

/** Sends a request and reads the whole answer. */
export async function send(leg, request) {
  const opened = await open(leg, request);
  const { bytes, broken } = await whole(opened);
  return { status: opened.status, headers: opened.headers, bytes, text: bytes.toString(), broken };
}

/** Reads an opened response until it holds `text`. */
export async function until({ response }, text) {
  let got = '';
  response.setEncoding('utf8');
  for await (const piece of response.iterator({ destroyOnReturn: false })) {
    got += piece;
    if (got.includes(text)) return got;
  }
  throw new Error(`the stream ended without ${text}: ${got}`);
}

const common = { 'content-type': 'application/json', accept: 'application/json, text/event-stream' };

/** A call of a tool in the era without sessions; `extra` goes into `params`, `raw` replaces the body. */
export function modern(tool, args, { id = 1, extra = {}, headers = {}, raw } = {}) {
  const meta = {
    'io.modelcontextprotocol/protocolVersion': MODERN,
    'io.modelcontextprotocol/clientCapabilities': {},
    ...extra._meta,
  };
  const params = { name: tool, arguments: args, ...extra, _meta: meta };
  const body = raw ?? JSON.stringify({ jsonrpc: '2.0', id, method: 'tools/call', params });
  const mirrored = { 'mcp-protocol-version': MODERN, 'mcp-method': 'tools/call', 'mcp-name': tool };
  return { body, headers: { ...common, ...mirrored, ...headers } };
}

/** A session of the era before: `{id, call(tool, args, …), headers}`. */
export async function session(leg) {
  const params = { protocolVersion: LEGACY, capabilities: {}, clientInfo: { name: 'wire', version: '1' } };
  const hello = { jsonrpc: '2.0', id: 0, method: 'initialize', params };
  const answer = await send(leg, { headers: common, body: JSON.stringify(hello) });
  if (answer.status !== 200) throw new Error(`initialize: ${answer.status} ${answer.text}`);
  const id = answer.headers['mcp-session-id'];
  const headers = { ...common, 'mcp-session-id': id, 'mcp-protocol-version': LEGACY };
  const ready = { jsonrpc: '2.0', method: 'notifications/initialized' };
  await send(leg, { headers, body: JSON.stringify(ready) });
  const request = (tool, args, { number = 1, meta } = {}) => {
    const params = { name: tool, arguments: args, ...(meta && { _meta: meta }) };
    return { headers, body: JSON.stringify({ jsonrpc: '2.0', id: number, method: 'tools/call', params }) };
  };
  return { id, headers, request, answer };
}

/** The one JSON-RPC message with a result or an error in an answer, whichever way it was framed. */
export function message({ text, headers }) {
  if (!headers['content-type']?.startsWith('text/event-stream')) return JSON.parse(text);
  const events = text.split(/\r?\n\r?\n/).map((event) =>
    event.split(/\r?\n/).filter((line) => line.startsWith('data:')).map((line) => line.slice(5)).join('\n'));
  const messages = events.filter((data) => data.trim()).map((data) => JSON.parse(data));
  return messages.findLast((found) => 'result' in found || 'error' in found);
}

/** The part of a JSON text that stands after `"result":`, byte for byte. */
export function rawResult(text) {
  const start = text.indexOf('"result":') + '"result":'.length;
  return text.slice(start, text.lastIndexOf('}'));
}
