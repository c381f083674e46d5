import type { ServerResponse } from 'node:http';
import type { Clock } from './clock.ts';
import { insteadOf, type FaultAction } from './faults.ts';
import { htmlPage, Problem } from './problem.ts';

/** What a request is answered with, before anything goes wrong. */
export type Answer = {
  readonly status: number;
  readonly type: 'hal' | 'problem' | 'html' | 'json';
  /** JSON's data; text of a page. undefined: no body. */
  readonly body: unknown;
  readonly headers?: Readonly<Record<string, string>>;
};

const TYPES: Readonly<Record<Answer['type'], string>> = {
  hal: 'application/hal+json',
  problem: 'application/problem+json',
  html: 'text/html; charset=utf-8',
  json: 'application/json',
};

export const NO_CONTENT: Answer = { status: 204, type: 'hal', body: undefined };

export function hal(body: unknown, status = 200): Answer {
  return { status, type: 'hal', body };
}

export function problemAnswer({ status, body }: Problem): Answer {
  return { status, type: 'problem', body };
}

export function pageAnswer(status: number): Answer {
  return { status, type: 'html', body: htmlPage(status) };
}

/** A fault's answer in the place of the request's. */
export function answerOfFault(fault: FaultAction & { kind: 'status' }): Answer {
  const { status, as, retryAfterSeconds } = fault;
  const seconds = retryAfterSeconds;
  const headers = seconds === undefined ? {} : { 'retry-after': String(seconds) };
  if (as === 'html') return { ...pageAnswer(status), headers };
  const more = seconds === undefined ? {} : { retry_after: seconds };
  const trace = status >= 500 ? { trace_id: 'f0f0f0f0-0000-4000-8000-000000000000' } : {};
  const problem = new Problem(status, 'This answer was asked for.', { ...more, ...trace });
  return { ...problemAnswer(problem), headers };
}

/** Copies of the first rows behind them, as far as the page has room: a page never has more rows than asked for. */
export function duplicateRows(answer: Answer, rows: number, limit: number): Answer {
  const body = answer.body as { _embedded?: Record<string, unknown> } | undefined;
  const [name, list] = Object.entries(body?._embedded ?? {})[0] ?? [];
  if (name === undefined || !Array.isArray(list)) return answer;
  const copies = Math.min(rows, list.length, Math.max(0, limit - list.length));
  const twice = list.flatMap((row: unknown, index) => (index < copies ? [row, row] : [row]));
  return { ...answer, body: { ...body, _embedded: { ...body?._embedded, [name]: twice } } };
}

type Sending = {
  readonly clock: Clock;
  readonly requestId: string;
  readonly faults: readonly FaultAction[];
};

/** Writes the answer, or what the faults leave of it. Gives the status that left; undefined when none did. */
export function send(
  response: ServerResponse,
  answer: Answer,
  { clock, requestId, faults }: Sending,
): number | undefined {
  const find = <K extends FaultAction['kind']>(kind: K) =>
    faults.find((fault): fault is FaultAction & { kind: K } => fault.kind === kind);
  if (response.destroyed) return undefined;
  if (insteadOf(faults)?.kind === 'reset') {
    response.req.socket.resetAndDestroy();
    return undefined;
  }
  const offset = find('clock-offset')?.seconds ?? 0;
  let body = bodyOf(answer);
  if (find('invalid-json') && body.length > 0)
    body = Buffer.from('{"_page":1,"_embedded":{"leads":[{]}');
  const cut = find('cut');
  const half = body.subarray(0, Math.ceil(body.length / 2));
  if (cut?.as === 'whole') body = half;
  response.sendDate = false;
  response.writeHead(answer.status, {
    date: new Date(clock.now() + offset * 1_000).toUTCString(),
    server: 'nginx',
    'x-request-id': requestId,
    ...(body.length > 0 && {
      'content-type': find('content-type')?.value ?? TYPES[answer.type],
      'content-length': String(body.length),
    }),
    ...answer.headers,
  });
  if (find('stall')) response.write(half);
  else if (cut?.as === 'closed') response.write(half, () => response.destroy());
  else response.end(body);
  return answer.status;
}

function bodyOf({ body }: Answer): Buffer {
  if (body === undefined) return Buffer.alloc(0);
  return Buffer.from(typeof body === 'string' ? body : JSON.stringify(body));
}
