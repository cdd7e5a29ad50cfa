// The dashboard in a real browser, on a real node with calls flowing: what it shows, what it may do, what it cannot be
// made to do. Frames under load are measured and told, never asserted.
import { readdirSync } from 'node:fs';
import http from 'node:http';
import { join } from 'node:path';

import { eventually, lockgate } from './lib/agility.mjs';
import { browser } from './lib/browser.mjs';
import { scratch } from './lib/processes.mjs';
import { agent, HOSTILE, scene, visit } from './lib/scene.mjs';
import { end, expect, note, same, section, test } from './lib/tap.mjs';

const VIEWS = ['Live', 'Posture', 'Mesh', 'Guard', 'Audit'];
/** The smallest contrast of text that WCAG 2.2 takes as readable (AA). */
const CONTRAST_MIN = 4.5;
/** Events a second for the measurement of frames, and how long it takes. */
const FLOOD_PER_S = 2_000;
const FLOOD_MS = 4_000;

/** One request as it is written, without what a browser or `fetch` adds. */
function raw(base, path, { method = 'GET', headers = {}, body } = {}) {
  const { hostname, port } = new URL(base);
  return new Promise((resolve, reject) => {
    const request = http.request({ hostname, port, path, method, headers, setHost: !headers.host }, (answer) => {
      let text = '';
      answer.setEncoding('utf8').on('data', (part) => (text += part));
      answer.on('end', () => resolve({ status: answer.statusCode, headers: answer.headers, text }));
    });
    request.on('error', reject);
    request.end(body);
  });
}

const json = (document) => ({ 'content-type': 'application/json', ...document });

/** A session of its own, as the page gets one. */
async function session(node) {
  const ticket = (await visit(node)).split('#ticket=')[1];
  const exchange = () => raw(node.admin, '/session', { method: 'POST', headers: json(), body: JSON.stringify({ ticket }) });
  const { status, text } = await exchange();
  same(status, 201, 'the exchange');
  return { token: JSON.parse(text).token, exchange };
}

async function served(node) {
  await test('the page needs no token, holds none, and may run nothing but its own script', async () => {
    const { status, headers, text } = await raw(node.admin, '/');
    same(status, 200, 'status');
    const policy = headers['content-security-policy'];
    for (const part of ["default-src 'none'", "script-src 'self'", "frame-ancestors 'none'", "require-trusted-types-for 'script'"]) {
      expect(policy.includes(part), `${part} is not in ${policy}`);
    }
    expect(!policy.includes('unsafe'), policy);
    same([headers['x-frame-options'], headers['referrer-policy'], headers['x-content-type-options']], ['DENY', 'no-referrer', 'nosniff'], 'headers');
    expect(headers['set-cookie'] === undefined, 'a cookie is set');
    expect(!/<style|\sstyle=|\son\w+=|http/.test(text), text);
  });
  await test('another Host, another Origin, no token and a wrong token get nothing', async () => {
    const bearer = { authorization: 'Bearer wrong' };
    for (const [path, headers, wanted] of [
      ['/', { host: 'evil.example' }, 403],
      ['/app.js', { host: 'evil.example:80' }, 403],
      ['/session', { host: 'localhost.evil.example' }, 403],
      ['/v1/status', { origin: 'https://evil.example' }, 403],
      ['/v1/live/stream', { origin: 'null' }, 403],
      ['/v1/status', {}, 401],
      ['/v1/status', bearer, 401],
      ['/v1/live/stream', bearer, 401],
      ['/v1/live/summary', bearer, 401],
    ]) {
      const { status } = await raw(node.admin, path, { headers });
      same(status, wanted, `${path} with ${JSON.stringify(headers)}`);
    }
  });
  await test('a ticket is good once, and a session looks and does nothing else', async () => {
    const { token, exchange } = await session(node);
    same((await exchange()).status, 401, 'the same ticket again');
    const bearer = { authorization: `Bearer ${token}` };
    for (const path of ['/v1/status', '/v1/live', '/v1/live/summary', '/v1/links', '/v1/approvals', '/v1/audit/tail']) {
      same((await raw(node.admin, path, { headers: bearer })).status, 200, path);
    }
    for (const path of ['/v1/dashboard', '/v1/drain', '/v1/reload', '/v1/invites', '/v1/identity/revoke', '/v1/crypto/apply']) {
      const { status, text } = await raw(node.admin, path, { method: 'POST', headers: json(bearer), body: '{}' });
      same([status, JSON.parse(text).error.code], [403, 'LG-N406'], path);
    }
  });
}

/** Text that the page shows now. */
const shown = (tab) => tab.evaluate('document.body.innerText');
const count = (tab, selector) => tab.evaluate(`document.querySelectorAll(${JSON.stringify(selector)}).length`);
const press = async (tab, ...keys) => {
  for (const key of keys) await tab.press(key);
};
const type = async (tab, text) => {
  for (const letter of text) await tab.press(letter);
};
const rows = (tab) => tab.evaluate(`[...document.querySelectorAll('.window .row')].map((row) => row.innerText.replaceAll('\\n', ' | '))`);

async function looks(tab, node, ann) {
  await test('a link that is good once opens it, and leaves nothing in the address bar', async () => {
    const url = await visit(node);
    await tab.open(url);
    await eventually('the live view', async () => (await shown(tab)).includes('Calls a second'));
    const at = await tab.evaluate('location.href');
    expect(!at.includes('ticket') && at.endsWith('#live'), at);
    same(await tab.evaluate('document.cookie'), '', 'cookies');
    same(await tab.evaluate('history.length <= 2'), true, 'the ticket is not in the history');
  });
  await test('rows appear as calls pass', async () => {
    await ann.call('echo', { text: 'first' });
    await eventually('a row', async () => (await rows(tab)).some((row) => /ok.*ann.*sample.*echo/.test(row)));
    const before = await tab.evaluate(`document.querySelector('.rows').getAttribute('aria-rowcount')`);
    await ann.call('echo', { text: 'second' });
    await eventually('another row', async () => (await tab.evaluate(`document.querySelector('.rows').getAttribute('aria-rowcount')`)) > before);
    return (await rows(tab))[0];
  });
  await test('a filter keeps what matches, by words, fields and verdicts', async () => {
    await ann.call('sha256', { text: 'x' });
    await eventually('the refusal', async () => (await rows(tab)).some((row) => /denied.*sha256/.test(row)));
    await press(tab, '/');
    await type(tab, 'tool:sha256 agent:ann');
    await eventually('only refusals', async () => {
      const now = await rows(tab);
      return now.length > 0 && now.every((row) => row.includes('sha256'));
    });
    const command = await tab.evaluate(`document.querySelector('main .copy').title`);
    expect(/^lockgate tap .*--agent ann .*--tool sha256/.test(command), command);
  });
  await test('a row opens the nine stages and the rule that decided', async () => {
    await press(tab, 'Escape', 'j', 'Enter');
    await eventually('the details', async () => (await count(tab, '.waterfall li')) === 9);
    const text = await tab.evaluate(`document.querySelector('.detail').innerText`);
    for (const part of ['no-hashing', 'What would let it pass', 'not reached', 'Handshake', 'Epoch', '-31001']) {
      expect(text.includes(part), `${part} is not in ${text}`);
    }
    await press(tab, 'Escape');
    same(await count(tab, '.detail'), 0, 'details after Escape');
    await press(tab, '/');
    await tab.evaluate(`(() => { const input = document.querySelector('input[type=search]'); input.value = ''; input.dispatchEvent(new Event('input', { bubbles: true })); })()`);
    await press(tab, 'Escape');
  });
  await test('pause holds the rows, and what came meanwhile is counted', async () => {
    await press(tab, 'p');
    const before = (await rows(tab))[0];
    await ann.call('echo', { text: 'meanwhile' });
    await eventually('the count', async () => (await shown(tab)).includes('1 new'));
    same((await rows(tab))[0], before, 'the first row');
    await press(tab, 'p');
    await eventually('the new row', async () => (await rows(tab))[0] !== before);
  });
}

async function hostile(tab, ann) {
  await test('names that would harm a page or deceive a reader are shown and do nothing', async () => {
    for (const name of HOSTILE) await ann.call(name, { text: name });
    await eventually('the rows', async () => (await rows(tab)).filter((row) => /\\u\{202e\}|\\u\{1b\}|<img src=x/.test(row)).length >= 3);
    for (const key of ['1', '3', '4', '5', '2', '1']) {
      await press(tab, key);
      await new Promise((resolve) => setTimeout(resolve, 300));
      const text = await shown(tab);
      // eslint-disable-next-line no-control-regex
      const odd = /[\u0000-\u0008\u000e-\u001f\u202a-\u202e\u2066-\u2069]/.exec(text);
      expect(!odd, `U+${odd?.[0].charCodeAt(0).toString(16)} is on the screen`);
      expect((await tab.evaluate('document.documentElement.scrollWidth <= innerWidth')), 'the page is wider than the window');
    }
    same(await tab.evaluate('window.harmed ?? null'), null, 'what a name did');
    same(await count(tab, 'img[src="x"], main script'), 0, 'elements out of names');
  });
  await test('the page itself cannot put markup into its document', async () => {
    const said = await tab.evaluate(`(() => { try { document.createElement('div').innerHTML = '<b>x</b>'; return 'it can'; } catch (error) { return error.name; } })()`);
    same(said, 'TypeError', 'innerHTML');
    tab.complaints.length = 0;
  });
}

async function proves(tab, node) {
  await test('the proof of a record is saved, and holds on a machine that has the public key alone', async () => {
    const folder = scratch('proofs');
    await tab.send('Browser.setDownloadBehavior', { behavior: 'allow', downloadPath: folder });
    await press(tab, '5');
    await eventually('records', async () => (await rows(tab)).length > 2);
    // The newest ones may wait for their checkpoint.
    await tab.evaluate(`[...document.querySelectorAll('.window .row')].at(-1).click()`);
    await press(tab, 'Enter');
    await eventually('the record', async () => (await count(tab, '.detail footer button')) > 0);
    await tab.evaluate(`document.querySelector('.detail footer button').click()`);
    const file = await eventually('the file', async () => readdirSync(folder).find((name) => name.endsWith('.tlog-proof')));
    const keys = await lockgate(node, 'audit', 'key');
    const [key] = keys.json.active;
    const { code, said } = await lockgate({ state: scratch('nobody') }, 'audit', 'verify', join(folder, file), '--key', key);
    same(code, 0, said);
    await press(tab, 'Escape', '1');
  });
}

async function searches(tab) {
  await test('the whole log is asked by its fields, and the command line can ask the same', async () => {
    await press(tab, '5', '/');
    await type(tab, 'tool:sha256 verdict:denied');
    await press(tab, 'Enter');
    await eventually('what was found', async () => (await shown(tab)).includes('of the whole log'));
    const found = await rows(tab);
    expect(found.length > 0 && found.every((row) => row.includes('sha256')), found.join('\n'));
    const command = await tab.evaluate(`document.querySelector('main .copy').title`);
    same(command, 'lockgate audit query --tool sha256 --verdict denied', 'the command');
    await type(tab, ' code:x');
    await press(tab, 'Enter');
    await eventually('the refusal', async () => (await shown(tab)).includes('code'));
    await tab.evaluate(`(() => { const input = document.querySelector('input[type=search]'); input.value = ''; input.dispatchEvent(new Event('input', { bubbles: true })); })()`);
    await press(tab, 'Escape', '1');
  });
}

async function decides(tab, ann) {
  await test('a held call is approved with the keyboard alone, and passes once', async () => {
    const held = await ann.call('word_count', { text: 'one two' });
    expect(JSON.stringify(held).includes('approv'), JSON.stringify(held));
    await press(tab, '4');
    await eventually('the call', async () => (await count(tab, '.waits')) === 1);
    await press(tab, 'a');
    await eventually('the decision', async () => (await shown(tab)).includes('approved by'));
    const answer = await ann.call('word_count', { text: 'one two' });
    expect(JSON.stringify(answer).includes('words') || answer.result, JSON.stringify(answer));
    const again = await ann.call('word_count', { text: 'one two' });
    expect(!JSON.stringify(again).includes('"words"'), JSON.stringify(again));
  });
  await test('another one is rejected, with a reason that the model reads', async () => {
    await eventually('the next call', async () => (await count(tab, '.waits')) === 1);
    await press(tab, 'x');
    await eventually('the reason', async () => (await count(tab, '.waits form input')) === 1 && (await tab.evaluate(`document.activeElement.tagName`)) === 'INPUT');
    await type(tab, 'ask for less');
    await press(tab, 'Enter');
    await eventually('the decision', async () => (await shown(tab)).includes('rejected by'));
    const answer = await ann.call('word_count', { text: 'one two' });
    expect(JSON.stringify(answer).includes('ask for less'), JSON.stringify(answer));
  });
}

async function appears(tab) {
  await test('every view is there by one key, and says how to get the same in a terminal', async () => {
    for (const [n, title] of VIEWS.entries()) {
      await press(tab, String(n + 1));
      await eventually(title, async () => (await tab.evaluate(`document.querySelector('h1').innerText`)) === title);
      const command = await tab.evaluate(`document.querySelector('main .copy').title`);
      expect(command.startsWith('lockgate '), command);
    }
    await press(tab, '?');
    expect((await tab.evaluate(`document.querySelector('[role=dialog]').innerText`)).includes('copy as command'), 'the list of keys');
    await press(tab, 'Escape');
    same(await count(tab, '[role=dialog]'), 0, 'the list after Escape');
  });
  await test('focus is seen where the Tab key goes', async () => {
    await press(tab, '1');
    for (let n = 0; n < 12; n += 1) {
      await press(tab, 'Tab');
      const seen = await tab.evaluate(`(() => { const style = getComputedStyle(document.activeElement); return document.activeElement !== document.body && style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2; })()`);
      expect(seen, await tab.evaluate('document.activeElement.outerHTML.slice(0, 120)'));
    }
  });
  await test('light and dark are both readable', async () => {
    const worst = [];
    for (const value of ['light', 'dark']) {
      await tab.send('Emulation.setEmulatedMedia', { features: [{ name: 'prefers-color-scheme', value }] });
      await eventually(value, async () => (await tab.evaluate('document.documentElement.dataset.theme')) === value);
      const ratios = await tab.evaluate(`(() => {
        const style = getComputedStyle(document.documentElement);
        const light = (name) => {
          const given = style.getPropertyValue(name).trim();
          const hex = given.length === 4 ? given.replace(/[0-9a-f]/g, '$&$&') : given;
          const parts = [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16) / 255).map((c) => (c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
          return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2];
        };
        const contrast = (a, b) => { const [x, y] = [light(a), light(b)].sort((p, q) => q - p); return (x + 0.05) / (y + 0.05); };
        return ['--text', '--muted', '--accent', '--good', '--warn', '--bad'].flatMap((ink) => ['--bg', '--panel', '--hover'].map((paper) => [ink, paper, contrast(ink, paper)]));
      })()`);
      const [ink, paper, ratio] = ratios.reduce((least, one) => (one[2] < least[2] ? one : least));
      expect(ratio >= CONTRAST_MIN, `${ink} on ${paper} in ${value}: ${ratio.toFixed(2)}`);
      worst.push(`${value} ${ratio.toFixed(1)}`);
    }
    return `worst contrast ${worst.join(', ')}`;
  });
  await test('a view can be printed', async () => {
    const { data } = await tab.send('Page.printToPDF', {});
    expect(data.length > 5_000, `${data.length} letters of base64`);
  });
}

async function clean(tab, node) {
  await test('nothing was asked of another host, and no rule of the page was broken', async () => {
    const origins = [...new Set(tab.requests.map((url) => new URL(url).origin))];
    same(origins, [new URL(node.admin).origin], 'origins');
    same(tab.complaints, [], 'complaints of the browser');
    return `${tab.requests.length} requests`;
  });
}

/** In the page, before its own script: a stream of events as a busy node makes them, and a count of frames meanwhile. */
const FLOOD = `window.measured = new Promise((resolve) => {
  const real = window.fetch;
  const call = (n) => ({ id: 1e6 + n, at_ms: Date.now(), kind: 'call', seq: n, verdict: n % 40 ? 'ok' : 'denied', server: 'crm',
    method: 'tools/call', name: 'tool-' + (n % 30), duration_us: 300 + (n % 700), stages: [null, 900, 40, 20, 5, 30, 4, 200, 12],
    policies: ['reading'], policy_generation: 1, link: { number: n % 9, listener: 'tunnel', agent: 'spiffe://lockgate.local/agent/a' + (n % 12),
      quantum_safe: true, group: 'X25519MLKEM768', resumed: false, hello_retry: false } });
  const encoder = new TextEncoder();
  window.fetch = (path, options) => {
    if (!String(path).includes('/v1/live/stream')) return real(path, options);
    let n = 0;
    const start = (out) => {
      out.enqueue(encoder.encode('event: hello\\nid: 1-1\\ndata: {"missed":0}\\n\\n'));
      const timer = setInterval(() => {
        let text = '';
        for (let k = 0; k < ${FLOOD_PER_S / 20}; k += 1) { n += 1; text += 'id: 1-' + n + '\\ndata: ' + JSON.stringify(call(n)) + '\\n\\n'; }
        out.enqueue(encoder.encode(text));
      }, 50);
      let frames = 0, longest = 0, last = performance.now();
      const began = last;
      const frame = (now) => {
        frames += 1; longest = Math.max(longest, now - last); last = now;
        if (now - began < ${FLOOD_MS}) return requestAnimationFrame(frame);
        clearInterval(timer);
        resolve({ fps: frames / ((now - began) / 1000), longest, events: n });
      };
      requestAnimationFrame(frame);
    };
    return Promise.resolve(new Response(new ReadableStream({ start }), { status: 200 }));
  };
})`;

/** Shows a page more than a person could read, and tells how it fared. */
async function flood(tab, node) {
  await test('a busy node does not make the page stand still', async () => {
    await tab.send('Page.addScriptToEvaluateOnNewDocument', { source: FLOOD });
    await tab.open(await visit(node));
    const { fps, longest, events } = await tab.evaluate('measured');
    const kept = Number(await tab.evaluate(`document.querySelector('.rows').getAttribute('aria-rowcount')`));
    expect(kept >= events - FLOOD_PER_S, `${kept} rows of ${events} events`);
    return `${fps.toFixed(1)} frames a second with ${FLOOD_PER_S} calls a second, longest frame ${longest.toFixed(0)} ms`;
  });
}

await section('dashboard', async () => {
  const node = await scene({ write: true });
  await section('served', () => served(node));
  const ann = await agent(node, 'ann');
  const opened = await browser();
  note(opened.product);
  const tab = await opened.page();
  await tab.send('Emulation.setDeviceMetricsOverride', { width: 1440, height: 900, deviceScaleFactor: 1, mobile: false });
  await section('looks', () => looks(tab, node, ann));
  await section('proves', () => proves(tab, node));
  await section('searches', () => searches(tab));
  await section('hostile', () => hostile(tab, ann));
  await section('decides', () => decides(tab, ann));
  await section('appears', () => appears(tab));
  await section('clean', () => clean(tab, node));
  await section('flood', async () => flood(await opened.page(), node));
  await test('when the node ends, the page says that it is not live', async () => {
    await node.stop();
    await eventually('the state', async () => (await shown(tab)).includes('reconnecting'));
  });
  await ann.stop();
  await opened.close();
});

await section('read-only', async () => {
  const node = await scene();
  const bob = await agent(node, 'bob');
  await bob.call('word_count', { text: 'one two' });
  const { json: held } = await lockgate(node, 'approvals', 'list');
  const { id } = held.calls[0];
  const { token } = await session(node);
  await test('where admin.write is false, a session cannot decide', async () => {
    const headers = json({ authorization: `Bearer ${token}` });
    for (const [path, body] of [[`/v1/approvals/${id}/approve`, { by: 'bob' }], [`/v1/approvals/${id}/reject`, { by: 'bob', reason: '' }], ['/v1/threats/x/approve', {}]]) {
      const { status, text } = await raw(node.admin, path, { method: 'POST', headers, body: JSON.stringify(body) });
      same([status, JSON.parse(text).error.code], [403, 'LG-N406'], path);
    }
    const { json: still } = await lockgate(node, 'approvals', 'list');
    same(still.calls[0].state, 'pending', 'the call');
  });
  const opened = await browser();
  const tab = await opened.page();
  await test('and the page says so and offers nothing', async () => {
    await tab.open(await visit(node));
    await eventually('the live view', async () => (await shown(tab)).includes('Calls a second'));
    await press(tab, '4');
    await eventually('the call', async () => (await count(tab, '.waits')) === 1);
    await eventually('the remark', async () => (await shown(tab)).includes('Looks only'));
    same(await count(tab, '.waits button.primary:not(:disabled)'), 0, 'buttons that decide');
    await press(tab, 'a');
    const { json: still } = await lockgate(node, 'approvals', 'list');
    same(still.calls[0].state, 'pending', 'the call');
  });
  await opened.close();
  await bob.stop();
  await node.stop();
});
end();
