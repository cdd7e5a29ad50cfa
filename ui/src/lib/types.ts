// What the admin interface gives. Names are those of the documents; fields may be added under the same schema.

export type Verdict = 'ok' | 'denied' | 'held' | 'killed' | 'screened' | 'refused' | 'failed' | 'cancelled';
export const VERDICTS: Verdict[] = ['ok', 'denied', 'held', 'killed', 'screened', 'refused', 'failed', 'cancelled'];
export const STAGES = ['accept', 'secure', 'verify', 'decode', 'bind', 'permit', 'screen', 'forward', 'record'] as const;

export interface LinkFacts {
  number: number;
  listener: string;
  agent: string;
  principal?: string;
  peer?: string;
  quantum_safe?: boolean;
  weakest?: string;
  group?: string;
  peer_signature?: string;
  own_signature?: string;
  resumed: boolean;
  hello_retry: boolean;
  handshake_us?: number;
  profile?: string;
  epoch?: number;
}

export interface Found {
  id: string;
  severity?: string;
  reason: string;
  evidence?: string;
}

interface Base {
  id: number;
  at_ms: number;
  seq?: number;
}

export interface CallEvent extends Base {
  kind: 'call';
  verdict: Verdict;
  link: LinkFacts;
  bearer?: string;
  server: string;
  method: string;
  name?: string;
  duration_us: number;
  stages: (number | null)[];
  answered_us?: number;
  stage?: string;
  code?: number;
  reason?: string;
  hint?: string;
  policies?: string[];
  policy_generation?: number;
  approval?: string;
  shadow?: string;
  findings?: Found[];
  bytes_in?: number;
  bytes_out?: number;
}

export interface LinkEvent extends Base {
  kind: 'link';
  state: string;
  link: LinkFacts;
  stage?: string;
  reason?: string;
}

export interface NoteEvent extends Base {
  kind: 'note';
  topic: string;
  outcome: string;
  stage?: string;
  agent?: string;
  server?: string;
  method?: string;
  name?: string;
  reason?: string;
  findings?: string[];
  approval?: string;
  epoch?: number;
  before?: string[];
  after?: string[];
}

export type LiveEvent = CallEvent | LinkEvent | NoteEvent;

export interface Second {
  at_s: number;
  calls: number;
  refused: number;
  failed: number;
  findings: number;
  links: number;
  links_refused: number;
  p50_us: number;
  p99_us: number;
  max_us: number;
}

export interface Edge {
  agent: string;
  server: string;
  tool: string;
  calls: number;
  refused: number;
  failed: number;
  total_us: number;
  max_us: number;
}

export interface RuleHits {
  policy: string;
  permits: number;
  denies: number;
  holds: number;
  kills: number;
  last_ms: number;
}

export interface RefusalGroup {
  verdict: Verdict;
  rule: string;
  stage: string;
  agent: string;
  server: string;
  tool: string;
  count: number;
  first_ms: number;
  last_ms: number;
  last_id: number;
  reason: string;
  hint: string;
}

export interface Handshake {
  at_ms: number;
  group: string;
  us: number;
  resumed: boolean;
  hello_retry: boolean;
  quantum_safe: boolean;
  agent: string;
  listener: string;
  findings: string[];
}

export interface PostureSample {
  at_ms: number;
  links: number;
  quantum_safe: number;
  groups: Record<string, number>;
}

export interface Finding extends Found {
  at_ms: number;
  event: number;
  agent: string;
  server: string;
  name: string;
}

export interface Summary {
  launch: number;
  at_ms: number;
  dropped: number;
  latency: { count: number; p50_us: number; p90_us: number; p99_us: number; p999_us: number };
  seconds: Second[];
  edges: Edge[];
  rules: RuleHits[];
  refusals: RefusalGroup[];
  findings: Finding[];
  handshakes: Handshake[];
  postures: PostureSample[];
  postures_day: PostureSample[];
}

export interface Ending {
  algorithm: string;
  phase: string;
  warn_after?: string | null;
  not_after?: string | null;
}

export interface Ban {
  target: string;
  reason: string;
  since_ms: number;
  by: string;
  covers: string[];
}

export interface Status {
  version: string;
  node: string;
  since_ms: number;
  draining: boolean;
  listeners: { name: string; url: string; profile: string | null }[];
  epoch: number;
  links_below_epoch: number;
  bans: Ban[];
  endings: Ending[];
  migration: { to_move: number; moved: number } | null;
  authority: string;
  policy_generation: number;
  policies: number;
  links: number;
  links_quantum_safe: number;
  sessions: number;
  calls_in_flight: number;
  upstreams: number;
  upstreams_failing: number;
  threats: number;
  write?: boolean;
  audit: {
    seq: number;
    head_hash: string;
    problem: string | null;
    /** What a signed log adds: how far it is covered by a checkpoint, and by whom. */
    checkpoint?: { size: number; at_ms?: number; signers?: string[] } | null;
  };
}

export interface Posture {
  protocol: string;
  group: string;
  cipher: string;
  peer_signature: string | null;
  own_signature: string | null;
  resumed: boolean;
  handshake_us: number;
  profile: string;
  epoch: number;
}

export interface Link {
  number: number;
  listener: string;
  peer: string | null;
  agent: string;
  since_ms: number;
  calls: number;
  posture: Posture | null;
  quantum_safe: boolean | null;
  weakest?: string | null;
  expires_at_ms?: number | null;
}

export interface Upstream {
  id: string;
  address: string;
  circuit: string;
  retry_ms: number | null;
  last_error: string | null;
  children: number | null;
  links: { peer: string | null; posture: Posture | null; weakest?: string | null }[];
}

export interface Agent {
  agent: string;
  links: number;
  last_seen_ms: number;
  expires_at_ms: number | null;
  key: string | null;
  revoked_by: string | null;
}

export interface HeldCall {
  id: string;
  state: string;
  agent: string;
  server: string;
  method: string;
  name: string | null;
  arguments: string | null;
  policies: string[];
  reason: string;
  since_ms: number;
  until_ms: number;
  by: string | null;
  rejection: string | null;
}

export interface Threat {
  id: string;
  server: string;
  tool: string;
  changes: string[];
  findings: Found[];
  definition: string;
  first_seen_ms: number;
}

export interface Place {
  kind: string;
  name: string;
  profile: string;
  why: string;
  groups: string[];
  endings: Ending[];
}

export interface CryptoShow {
  epoch: number;
  places: Place[];
  bans: Ban[];
  endings: Ending[];
}

/** What `lockgate discover` found when it was last run here (`lockgate.discovery/1`); parts that are not shown are left out. */
export interface Discovery {
  at_ms: number;
  nodes: (
    | { kind: 'client' | 'gateway' | 'package' | 'credential'; id: string }
    | {
        kind: 'server';
        id: string;
        names: string[];
        transport: 'stdio' | 'http' | 'sse';
        url?: string;
        configured: boolean;
        running: boolean;
        behind_gateway: boolean;
        direct: boolean;
        authentication: string;
        tls?: { protocol: string | null; group?: string; quantum_safe_key_exchange: boolean | null };
        used_from?: { client: string }[];
      }
  )[];
  findings: Amiss[];
}

/** Something that is wrong around this node, and what to do about it. */
export interface Amiss {
  code: string;
  severity: 'info' | 'low' | 'medium' | 'high';
  about: string;
  what: string;
  fix: string;
}
