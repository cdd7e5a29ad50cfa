// What every view reaches.

import { getContext, setContext } from 'svelte';

import type { Shortcut } from './keys.ts';
import type { Live } from './live.svelte.ts';
import type { Poll } from './poll.svelte.ts';
import type { Session } from './session.ts';
import type { Status } from './types.ts';

export interface Reach {
  session: Session;
  live: Live;
  status: Poll<Status>;
  /** The session is over. */
  ended(): void;
  /** Says something for a moment. */
  say(text: string, bad?: boolean): void;
  /** Takes the keys of a view; gives them back when called. */
  keys(shortcuts: Shortcut[]): () => void;
}

const KEY = Symbol('reach');
export const provide = (reach: Reach): Reach => setContext(KEY, reach);
export const reach = (): Reach => getContext<Reach>(KEY);
