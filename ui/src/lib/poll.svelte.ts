// Documents that are asked for again and again while somebody looks at them.

import { get, Refused, type Session } from './session.ts';

export class Poll<T> {
  value = $state.raw<T | undefined>(undefined);
  error = $state<string | undefined>(undefined);
  private timer = 0;
  private stopped = false;
  private readonly session: Session;
  private readonly path: () => string;
  private readonly every: number;
  private readonly ended: () => void;
  private readonly merge: ((before: T | undefined, now: T) => T) | undefined;

  constructor(
    session: Session,
    path: string | (() => string),
    every: number,
    ended: () => void,
    merge?: (before: T | undefined, now: T) => T,
  ) {
    this.session = session;
    this.path = typeof path === 'string' ? () => path : path;
    this.every = every;
    this.ended = ended;
    this.merge = merge;
    void this.ask();
  }

  /** Asks now, and then as before. */
  async ask(): Promise<void> {
    clearTimeout(this.timer);
    try {
      const value = await get<T>(this.session, this.path());
      this.value = this.merge ? this.merge(this.value, value) : value;
      this.error = undefined;
    } catch (error) {
      if (error instanceof Refused && error.status === 401) return this.ended();
      this.error = error instanceof Error ? error.message : String(error);
    }
    if (!this.stopped) this.timer = window.setTimeout(() => void this.ask(), this.every);
  }

  stop(): void {
    this.stopped = true;
    clearTimeout(this.timer);
  }
}
