// Server-sent events by `fetch`, because `EventSource` cannot bring a token. It resumes where it was.

import { refused, type Session } from './session.ts';

/** Longest wait until it is tried again, in milliseconds. */
const RETRY_MS_MAX = 15_000;

export interface Handlers {
  /** Texts of events, in the order in which they came, as many as arrived together. */
  events(batch: string[]): void;
  /** It stands or falls. `missed` events are not kept any more. */
  state(up: boolean, missed: number): void;
  /** The session is over. */
  ended(): void;
}

/** Takes whole events out of a text; gives what is left, which is the beginning of one. */
export function parse(text: string, take: (event: { type: string; id?: string; data: string }) => void): string {
  let at = 0;
  for (;;) {
    const end = text.indexOf('\n\n', at);
    if (end < 0) return text.slice(at);
    const event: { type: string; id?: string; data: string } = { type: 'message', data: '' };
    for (const line of text.slice(at, end).split('\n')) {
      if (line.startsWith('data: ')) event.data += line.slice(6);
      else if (line.startsWith('id: ')) event.id = line.slice(4);
      else if (line.startsWith('event: ')) event.type = line.slice(7);
    }
    take(event);
    at = end + 2;
  }
}

/** Follows the events until it is told to stop. `after` is the number of the last one that is known already. */
export function follow(session: Session, after: number, handlers: Handlers): () => void {
  const stop = new AbortController();
  let last: string | undefined;
  const read = async (): Promise<void> => {
    const headers: Record<string, string> = { authorization: `Bearer ${session.token}`, accept: 'text/event-stream' };
    if (last !== undefined) headers['last-event-id'] = last;
    const answer = await fetch(`/v1/live/stream?after=${after}`, {
      headers, cache: 'no-store', credentials: 'omit', redirect: 'error', signal: stop.signal,
    });
    if (!answer.ok || !answer.body) throw await refused(answer);
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = '';
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      const batch: string[] = [];
      rest = parse(rest + value, ({ type, id, data }) => {
        if (id !== undefined) last = id;
        if (type === 'hello') handlers.state(true, (JSON.parse(data) as { missed: number }).missed);
        else if (type === 'cut') handlers.state(false, (JSON.parse(data) as { missed: number }).missed);
        else if (type === 'message' && data) batch.push(data);
      });
      if (batch.length > 0) handlers.events(batch);
    }
  };
  void (async () => {
    for (let wait = 500; !stop.signal.aborted; wait = Math.min(wait * 2, RETRY_MS_MAX)) {
      const began = Date.now();
      try {
        await read();
      } catch (error) {
        if (stop.signal.aborted) return;
        if (error instanceof Error && 'status' in error && error.status === 401) return handlers.ended();
      }
      if (stop.signal.aborted) return;
      handlers.state(false, 0);
      if (Date.now() - began > RETRY_MS_MAX) wait = 500;
      await new Promise((resolve) => setTimeout(resolve, wait));
    }
  })();
  return () => stop.abort();
}
