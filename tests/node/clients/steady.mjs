// A client that calls all the time, by what Node.js itself has: `https` with its own agent, which keeps connections
// (`h1`), `http2` (`h2`), or `fetch`. Nothing in it knows that the server may change its cryptography.
//
// Prints a line of JSON with every tenth call over a group: `{"group": …, "calls": …}`. On SIGTERM it finishes the
// calls that are under way and prints `{"calls": …, "failed": […], "groups": […]}`, the groups in the order in which
// they came.
//
// A stream that was refused before it began is opened again, as RFC 9113 section 8.7 has it: when GOAWAY comes in the
// same packet as the end of an answer, nghttp2 refuses what JavaScript asks for before it has heard of the GOAWAY, and
// Node.js leaves the repetition to its user.
import http2 from 'node:http2';
import https from 'node:https';
import tls from 'node:tls';

import { message, modern } from '../lib/mcp.mjs';

const { url, groups, how } = JSON.parse(process.argv[2]);
if (groups) tls.DEFAULT_ECDH_CURVE = groups;
/** Calls at a time: short ones, and those that take longer than links need to move. */
const SHORT = ['exact', { text: '{"content":[],"resultType":"complete"}' }];
const LONG = ['slow', { pieces: 10, interval_ms: 150 }];
const WORKERS = [SHORT, SHORT, SHORT, LONG];
const FAILED_MAX = 20;
const TOLD_EVERY = 10;

const ways = {
  h1: ({ method, path, headers, body }) => new Promise((resolve, reject) => {
    const request = https.request(new URL(path, url), { method, headers });
    request.on('response', (response) => {
      // The socket is gone from the response once that has ended.
      const group = response.socket.getEphemeralKeyInfo().name;
      let text = '';
      response.setEncoding('utf8').on('data', (piece) => (text += piece));
      response.on('error', reject);
      response.on('end', () => resolve({ status: response.statusCode, headers: response.headers, text, group }));
    });
    request.on('error', reject).end(body);
  }),
  h2: (request) => stream(request).catch((error) => {
    if (!error.unbegun) throw error;
    return stream(request);
  }),
  fetch: async ({ method, path, headers, body }) => {
    const answer = await fetch(new URL(path, url), { method, headers, body });
    return { status: answer.status, headers: Object.fromEntries(answer.headers), text: await answer.text() };
  },
};

function stream({ method, path, headers, body }) {
  return new Promise((resolve, reject) => {
    const session = current();
    const opened = session.request({ ':method': method, ':path': path, ...headers });
    let head;
    let text = '';
    opened.on('response', (received) => (head = received));
    opened.setEncoding('utf8').on('data', (piece) => (text += piece));
    opened.on('end', () => resolve({ status: head?.[':status'], headers: head, text, group: session.group }));
    const fail = (error) => {
      error.unbegun = !head && opened.rstCode === http2.constants.NGHTTP2_REFUSED_STREAM;
      reject(error);
    };
    opened.on('error', fail).end(body);
  });
}

let session;
/** The HTTP/2 session, a new one when the server has said that it ends the last. */
function current() {
  if (session && !session.closed && !session.destroyed) return session;
  const opened = http2.connect(new URL(url).origin);
  opened.on('connect', (_, socket) => (opened.group = socket.getEphemeralKeyInfo().name));
  // Its streams have errors of their own.
  opened.on('error', () => {});
  session = opened;
  return session;
}

const failed = [];
const seen = [];
const counts = {};
let calls = 0;
let stopping = false;

function count(group) {
  calls += 1;
  counts[group] = (counts[group] ?? 0) + 1;
  if (seen.at(-1) !== group && !seen.includes(group)) seen.push(group);
  if (counts[group] % TOLD_EVERY === 0) console.log(JSON.stringify({ group, calls: counts[group] }));
}

async function call([tool, args]) {
  const answer = await ways[how]({ method: 'POST', path: new URL(url).pathname, ...modern(tool, args) });
  const { status, text: said } = answer;
  if (status !== 200 || !message(answer)?.result) throw new Error(`${status} ${said.slice(0, 300)}`);
  // `fetch` does not tell by which connection: the gateway does, of the next question's.
  if (how !== 'fetch') return answer.group;
  const { text } = await ways.fetch({ method: 'GET', path: '/.well-known/lockgate/posture' });
  return JSON.parse(text).posture.group;
}

async function work(kind) {
  while (!stopping) {
    try {
      count(await call(kind));
    } catch (error) {
      if (failed.length < FAILED_MAX) failed.push(`${error.code ?? ''} ${error.message} ${error.cause ?? ''}`);
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }
}

process.on('SIGTERM', () => (stopping = true));
await Promise.all(WORKERS.map(work));
console.log(JSON.stringify({ calls, failed, groups: seen }));
process.exit(0);
