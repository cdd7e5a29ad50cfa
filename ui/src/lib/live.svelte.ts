// Events as they come. They are taken in once a frame, however many there are, into plain arrays that no reactivity
// looks into; what the screen depends on is one number that rises with each frame that brought something.

import { get, type Session } from './session.ts';
import { follow } from './stream.ts';
import type { CallEvent, LiveEvent } from './types.ts';
import { short } from './text.ts';

/** Events that the page keeps. */
export const KEPT_MAX = 20_000;
/** Events that wait for a frame: a page in the background gets none, and keeps what it would show. */
const WAITING_MAX = KEPT_MAX;

export interface Filter {
  text: string;
  verdicts: string[];
  kinds: string[];
}

export const who = (event: LiveEvent): string =>
  event.kind === 'call' ? (event.bearer ?? event.link.agent) : event.kind === 'link' ? event.link.agent : (event.agent ?? '');

export const what = (call: CallEvent): string => call.name ?? call.method;

/** What a filter's text is compared with. */
function haystack(event: LiveEvent): string {
  const parts: (string | undefined)[] = [who(event)];
  if (event.kind === 'call') {
    parts.push(event.server, event.method, event.name, event.verdict, event.link.group, event.reason);
    event.findings?.forEach((found) => parts.push(found.id));
    event.policies?.forEach((policy) => parts.push(policy));
  } else if (event.kind === 'link') {
    parts.push(event.state, event.link.group, event.link.listener, event.reason);
  } else {
    parts.push(event.topic, event.method, event.name, event.reason, event.server);
    event.findings?.forEach((found) => parts.push(found));
  }
  return parts.join(' ').toLowerCase();
}

/** Words that must all be there; `agent:`, `server:` and `tool:` look in one place. */
export function matcher(filter: Filter): (event: LiveEvent) => boolean {
  const words = filter.text.toLowerCase().split(/\s+/).filter(Boolean);
  const { verdicts, kinds } = filter;
  const special = (event: LiveEvent, word: string): boolean | undefined => {
    const [, field, value = ''] = /^(agent|server|tool):(.*)$/.exec(word) ?? [];
    if (field === 'agent') return short(who(event)).toLowerCase().includes(value) || who(event).toLowerCase().includes(value);
    if (field === 'server') return event.kind !== 'link' && (event.server ?? '').toLowerCase().includes(value);
    if (field === 'tool') return event.kind !== 'link' && (event.name ?? '').toLowerCase().includes(value);
    return undefined;
  };
  return (event) => {
    if (kinds.length > 0 && !kinds.includes(event.kind)) return false;
    if (verdicts.length > 0 && !(event.kind === 'call' && verdicts.includes(event.verdict))) return false;
    if (words.length === 0) return true;
    let text: string | undefined;
    return words.every((word) => special(event, word) ?? (text ??= haystack(event)).includes(word));
  };
}

export class Live {
  /** Rises with each frame that brought something. */
  version = $state(0);
  connected = $state(false);
  /** Events that this page was too slow or too late for. */
  missed = $state(0);
  /** Oldest first. */
  readonly events: LiveEvent[] = [];
  private waiting: string[] = [];
  private frame = 0;
  private stop: (() => void) | undefined;
  private readonly listeners = new Set<(batch: LiveEvent[]) => void>();

  /** Fills up from what the node keeps, and follows from there. */
  async start(session: Session, ended: () => void): Promise<void> {
    const kept = await get<{ last: number; events: LiveEvent[] }>(session, '/live?limit=4096');
    this.take(kept.events);
    this.stop = follow(session, kept.last, {
      events: (batch) => this.wait(batch),
      state: (up, missed) => {
        this.connected = up;
        this.missed += missed;
      },
      ended,
    });
  }

  close(): void {
    this.stop?.();
    cancelAnimationFrame(this.frame);
  }

  /** Tells of each frame's events. */
  listen(listener: (batch: LiveEvent[]) => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  private wait(batch: string[]): void {
    this.waiting.push(...batch);
    const surplus = this.waiting.length - WAITING_MAX;
    if (surplus > 0) this.waiting.splice(0, surplus);
    if (this.frame === 0) this.frame = requestAnimationFrame(() => this.draw());
  }

  private draw(): void {
    this.frame = 0;
    const batch = this.waiting;
    this.waiting = [];
    this.take(batch.map((text) => JSON.parse(text) as LiveEvent));
  }

  private take(batch: LiveEvent[]): void {
    if (batch.length === 0) return;
    this.events.push(...batch);
    // Cut rarely, and then a good piece: moving twenty thousand entries in each frame would cost more than the rest.
    if (this.events.length > KEPT_MAX * 1.25) this.events.splice(0, this.events.length - KEPT_MAX);
    this.listeners.forEach((listener) => listener(batch));
    this.version += 1;
  }
}
