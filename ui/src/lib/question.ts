// What is asked of the whole log, out of what somebody typed: `agent:ann tool:refund since:7d`.

/** Fields that the index of the log knows, by the word before the colon, each with its flag on the command line. */
const FIELDS = {
  agent: 'agent',
  server: 'server',
  tool: 'tool',
  method: 'method',
  verdict: 'verdict',
  kind: 'kind',
  code: 'code',
  rule: 'rule',
  finding: 'finding',
  group: 'group',
  safe: 'quantum_safe',
  since: 'since',
  until: 'until',
} as const;

export interface Question {
  /** Query of the request, without a question mark. */
  query: string;
  /** Words of the command line that asks the same. */
  flags: string[];
  /** Words that no field goes with: what is found is searched for them. */
  words: string[];
}

/** The question in a text; none if it names no field. */
export function question(text: string): Question | undefined {
  const query = new URLSearchParams();
  const flags: string[] = [];
  const words: string[] = [];
  for (const word of text.split(/\s+/).filter(Boolean)) {
    const at = word.indexOf(':');
    const name = word.slice(0, at) as keyof typeof FIELDS;
    const value = word.slice(at + 1);
    if (at > 0 && value && Object.hasOwn(FIELDS, name)) {
      query.set(FIELDS[name], value);
      flags.push(`--${FIELDS[name].replace('_', '-')}`, value);
    } else words.push(word.toLowerCase());
  }
  return flags.length > 0 ? { query: query.toString(), flags, words } : undefined;
}
