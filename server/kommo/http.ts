import { performance } from 'node:perf_hooks';
import { Agent, type Dispatcher } from 'undici';
import type { Answer } from './answer.ts';

type HttpRequest = {
  readonly method: 'GET' | 'POST';
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: string;
  /** By `now()`: after this moment the request does not leave any more. */
  readonly startByMs: number;
  readonly signal: AbortSignal;
};

/**
 * How it went. `late`: its moment had passed before there was a connection, and nothing was sent. `broken`: it may or may
 * not have reached the other side; `code` says what happened.
 */
export type HttpResult =
  | { readonly kind: 'answered'; readonly answer: Answer }
  | { readonly kind: 'late' }
  | { readonly kind: 'broken'; readonly code: string };

export type KommoHttp = {
  /** Milliseconds of a clock that never jumps: what `startByMs` counts in. */
  now(): number;
  /** @throws the signal's reason once it is aborted, and nothing else. */
  send(request: HttpRequest): Promise<HttpResult>;
  close(): Promise<void>;
};

const CONNECT_TIMEOUT_MS = 5_000;
const HEADERS_TIMEOUT_MS = 15_000;
const TOTAL_TIMEOUT_MS = 30_000;
const BODY_BYTES_MAX = 20 * 1024 * 1024;
/** Longer than the pause between two polls, shorter than servers keep a connection (nginx: 75 s). */
const KEEP_ALIVE_MS = 30_000;
const USER_AGENT = 'Clarin';

export type HttpLimits = {
  readonly headersTimeoutMs?: number;
  readonly totalTimeoutMs?: number;
  readonly bodyBytesMax?: number;
};

/**
 * HTTP to Kommo: connections that are kept, every wait and every body bounded. Through undici's own `dispatch`: it says
 * when a request is about to be written, which is when its moment counts, and hands over a body piece by piece. Nothing is
 * retried and no redirect is followed here.
 * https://undici.nodejs.org/#/docs/api/Dispatcher
 */
export function createKommoHttp(limits: HttpLimits = {}): KommoHttp {
  const agent = new Agent({
    connect: { timeout: CONNECT_TIMEOUT_MS },
    headersTimeout: limits.headersTimeoutMs ?? HEADERS_TIMEOUT_MS,
    bodyTimeout: limits.headersTimeoutMs ?? HEADERS_TIMEOUT_MS,
    keepAliveTimeout: KEEP_ALIVE_MS,
  });
  const bounds = {
    totalTimeoutMs: limits.totalTimeoutMs ?? TOTAL_TIMEOUT_MS,
    bodyBytesMax: limits.bodyBytesMax ?? BODY_BYTES_MAX,
  };
  const now = (): number => performance.now();
  return {
    now,
    send: (request) => exchange(agent, request, { ...bounds, now }),
    close: () => agent.destroy(),
  };
}

type Bounds = { totalTimeoutMs: number; bodyBytesMax: number; now: () => number };
type Controller = Dispatcher.DispatchController;

/** Ends an exchange whose result is there already: nobody sees it. */
class Stopped extends Error {}

/** One request and its answer. Whatever comes first is the result: the answer, a fault, the time, the caller. */
function exchange(agent: Agent, request: HttpRequest, bounds: Bounds): Promise<HttpResult> {
  const { signal } = request;
  return new Promise((resolve, reject) => {
    let controller: Controller | undefined;
    let isOver = false;
    const close = (): void => {
      isOver = true;
      clearTimeout(timer);
      signal.removeEventListener('abort', onAbort);
    };
    const end = (result: HttpResult): void => {
      if (isOver) return;
      close();
      resolve(result);
      if (result.kind === 'broken') controller?.abort(new Stopped());
    };
    const onAbort = (): void => {
      if (isOver) return;
      close();
      reject(signal.reason as Error);
      controller?.abort(new Stopped());
    };
    const timer = setTimeout(() => end({ kind: 'broken', code: 'TIMEOUT' }), bounds.totalTimeoutMs);
    signal.addEventListener('abort', onAbort, { once: true });
    if (signal.aborted) return onAbort();
    const start = (started: Controller): void => {
      controller = started;
      if (!isOver && bounds.now() > request.startByMs) end({ kind: 'late' });
      // Thrown, not aborted: that would close the connection, which the next request can use.
      if (isOver) throw new Stopped();
    };
    try {
      agent.dispatch(optionsOf(request), createHandler(bounds.bodyBytesMax, { start, end }));
    } catch (error) {
      end({ kind: 'broken', code: codeOf(error) });
    }
  });
}

function optionsOf({ method, url, headers, body }: HttpRequest): Dispatcher.DispatchOptions {
  const { origin, pathname, search } = new URL(url);
  const common = {
    accept: 'application/json',
    // What is counted is what is read.
    'accept-encoding': 'identity',
    'user-agent': USER_AGENT,
  };
  return {
    origin,
    path: `${pathname}${search}`,
    method,
    body: body ?? null,
    headers: { ...common, ...headers },
  };
}

type Ends = { start: (controller: Controller) => void; end: (result: HttpResult) => void };

/** Collects an answer, up to so many bytes. */
function createHandler(bytesMax: number, { start, end }: Ends): Dispatcher.DispatchHandler {
  let status = 0;
  let headers: Answer['headers'] = {};
  let chunks: Buffer[] = [];
  let bytes = 0;
  const count = (more: number): void => {
    bytes += more;
    if (bytes <= bytesMax) return;
    chunks = [];
    end({ kind: 'broken', code: 'BODY_TOO_LARGE' });
  };
  return {
    onRequestStart: start,
    onResponseStart: (_controller, code, given) => {
      // An interim answer (1xx) precedes the one that counts.
      if (code < 200) return;
      status = code;
      const entries = Object.entries(given).map(([name, value]) => [
        name.toLowerCase(),
        Array.isArray(value) ? value[0] : value,
      ]);
      headers = Object.fromEntries(entries) as Answer['headers'];
    },
    onResponseData: (_controller, chunk) => {
      chunks.push(chunk);
      count(chunk.length);
    },
    onResponseEnd: () => {
      const text = Buffer.concat(chunks).toString('utf8');
      end({ kind: 'answered', answer: { status, headers, text } });
    },
    onResponseError: (_controller, error) => end({ kind: 'broken', code: codeOf(error) }),
  };
}

/** What happened, without what was sent or received: errors of undici hold bytes of both. */
function codeOf(error: unknown): string {
  if (!(error instanceof Error)) return 'UNKNOWN';
  return 'code' in error && typeof error.code === 'string' ? error.code : error.name;
}
