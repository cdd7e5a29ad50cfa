// Foreign text: names of agents, servers and tools, arguments, reasons. It is only ever put into text nodes, and what
// does not show, or would change the order of what does, is written out.

/** What does not show or reorders: controls, soft hyphen, zero width, direction, tags, line separators, lone surrogates. */
const HIDDEN =
  /[\u0000-\u001f\u007f-\u009f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb]|[\u{e0000}-\u{e0fff}]|\p{Cs}/gu;

/** Letters of one text on the screen; beyond that it is cut. */
const LETTERS_MAX = 2_000;

/** `text` with all that hides written as `\u{…}`, and no longer than a screen can take. */
export function visible(text: string, max = LETTERS_MAX): string {
  const cut = text.length > max ? `${text.slice(0, max)}…` : text;
  return cut.replace(HIDDEN, (letter) => `\\u{${(letter.codePointAt(0) ?? 0).toString(16)}}`);
}

/** The name at the end of a SPIFFE id; other names as they are. */
export function short(agent: string): string {
  const path = /^spiffe:\/\/[^/]+\/(.+)$/.exec(agent)?.[1];
  return path === undefined ? agent : path.replace(/^agent\//, '');
}

/** One word of a command line that a shell takes as it is, and that holds nothing a terminal would act on when pasted. */
export function quoted(word: string): string {
  if (/^[\w@%+=:,./-]+$/.test(word)) return word;
  const plain = !/[^\x20-\x7e\u00a1-\uffff]/.test(word) && visible(word, Infinity) === word;
  if (plain) return `'${word.replaceAll("'", `'\\''`)}'`;
  const bytes = [...new TextEncoder().encode(word)];
  const escaped = bytes.map((byte) =>
    byte > 0x1f && byte < 0x7f && byte !== 0x27 && byte !== 0x5c
      ? String.fromCharCode(byte)
      : `\\x${byte.toString(16).padStart(2, '0')}`,
  );
  return `$'${escaped.join('')}'`;
}

/** A command line; words that are `undefined` are left out. */
export function command(...words: (string | undefined)[]): string {
  return ['lockgate', ...words.filter((word) => word !== undefined).map(quoted)].join(' ');
}
