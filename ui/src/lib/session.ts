// How the page comes to ask: the ticket of the URL becomes a session that this tab keeps. There is no cookie; each
// request brings the token in a header, which no other page can make a browser do.

const KEPT = 'lockgate.session';

export interface Session {
  token: string;
  by: string;
}

export class Refused extends Error {
  readonly status: number;
  readonly code: string;
  readonly hint: string;

  constructor(status: number, code: string, message: string, hint: string) {
    super(message);
    this.status = status;
    this.code = code;
    this.hint = hint;
  }
}

/** The ticket in the address bar. It is taken out there, so that neither history nor a copied URL has it. */
function ticket(): string | undefined {
  const found = /^#ticket=([\w-]+)$/.exec(location.hash)?.[1];
  if (found) history.replaceState(null, '', `${location.pathname}#live`);
  return found;
}

/** The session of this tab: a new one if the URL brought a ticket, else the one that it has; none if it has none. */
export async function open(): Promise<Session | undefined> {
  const given = ticket();
  if (given) {
    sessionStorage.removeItem(KEPT);
    const answer = await send('POST', '/session', undefined, { ticket: given });
    const { token, by } = (await answer.json()) as Session;
    sessionStorage.setItem(KEPT, JSON.stringify({ token, by }));
    return { token, by };
  }
  const kept = sessionStorage.getItem(KEPT);
  return kept ? (JSON.parse(kept) as Session) : undefined;
}

export function close(): void {
  sessionStorage.removeItem(KEPT);
}

async function send(method: string, path: string, token: string | undefined, body?: unknown): Promise<Response> {
  const headers: Record<string, string> = {};
  if (token) headers.authorization = `Bearer ${token}`;
  if (body !== undefined) headers['content-type'] = 'application/json';
  const answer = await fetch(path, {
    method,
    headers,
    body: body === undefined ? null : JSON.stringify(body),
    cache: 'no-store',
    credentials: 'omit',
    redirect: 'error',
    referrerPolicy: 'no-referrer',
  });
  if (answer.ok) return answer;
  throw await refused(answer);
}

export async function refused(answer: Response): Promise<Refused> {
  const said = (await answer.json().catch(() => ({}))) as { error?: { code: string; message: string; hint: string } };
  const { code = '', message = `the node answers ${answer.status}`, hint = '' } = said.error ?? {};
  return new Refused(answer.status, code, message, hint);
}

/** Asks for a document. */
export async function get<T>(session: Session, path: string): Promise<T> {
  return (await send('GET', `/v1${path}`, session.token)).json() as Promise<T>;
}

/** Asks for a text. */
export async function text(session: Session, path: string): Promise<string> {
  return (await send('GET', `/v1${path}`, session.token)).text();
}

/** Decides about something. */
export async function post<T>(session: Session, path: string, body: unknown): Promise<T> {
  return (await send('POST', `/v1${path}`, session.token, body)).json() as Promise<T>;
}
