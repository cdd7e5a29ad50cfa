// Keys. Each view says what it knows; while somebody types, only Escape is a command.

export interface Shortcut {
  keys: string[];
  /** How it is written in the list. */
  shown: string;
  does: string;
  run(event: KeyboardEvent): void;
}

const isTyping = (target: EventTarget | null): boolean =>
  target instanceof HTMLElement && (target.isContentEditable || ['INPUT', 'TEXTAREA', 'SELECT'].includes(target.tagName));

/** Elements that Enter and Space belong to. */
const isPressable = (target: EventTarget | null): boolean =>
  target instanceof HTMLElement && ['BUTTON', 'A', 'SUMMARY'].includes(target.tagName);

export function handle(event: KeyboardEvent, shortcuts: Shortcut[]): void {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (isTyping(event.target) && event.key !== 'Escape') return;
  if (isPressable(event.target) && (event.key === ' ' || event.key === 'Enter')) return;
  const found = shortcuts.find((shortcut) => shortcut.keys.includes(event.key));
  if (!found) return;
  event.preventDefault();
  found.run(event);
}
