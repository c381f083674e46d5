import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { answerAdminRequest, type Parts } from './admin.ts';
import { answerOfFault, duplicateRows, pageAnswer, problemAnswer, send } from './answer.ts';
import type { Answer } from './answer.ts';
import { findEndpoint, type Place } from './endpoints.ts';
import { insteadOf, type FaultAction } from './faults.ts';
import { answerTokenRequest, answerWhereAccountIs, type Integration } from './oauth.ts';
import { Problem } from './problem.ts';
import { findTarget, parseBody, readBody, type Target } from './request.ts';
import type { LoggedRequest } from './request-log.ts';
import { answerApiRequest } from './routes.ts';
import type { World } from './world.ts';

/**
 * The way of a request: who asks and whom (request.ts), the log, the limiter, what goes wrong (faults.ts), the account, the
 * token, the answer (routes.ts), and out (answer.ts).
 */
type Means = Parts & { readonly integration: Integration };

type Asked = {
  readonly target: Target;
  readonly place: Place | undefined;
  readonly address: string;
  readonly logged: LoggedRequest;
};

export function createKommoServer(means: Means): Server {
  const server = createServer((request, response) => {
    handle(means, request, response).catch((error: unknown) => {
      if (response.headersSent) response.destroy();
      else if (error instanceof Problem) {
        const sending = { clock: means.clock, requestId: 'fake', faults: [] };
        send(response, problemAnswer(error), sending);
      } else {
        // A mistake of the fake's own, and none that was asked for: no status of Kommo's.
        const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
        response.writeHead(599, { 'content-type': 'text/plain' }).end(text);
      }
    });
  });
  // As a web server in front has it: a client that keeps its connections finds them open.
  server.keepAliveTimeout = 75_000;
  return server;
}

async function handle(
  means: Means,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const target = findTarget(request);
  const sending = { clock: means.clock, requestId: requestIdOf(means.requests.count) };
  if (target.path.startsWith('/__admin')) {
    const body = parseBody(request, await readBody(request));
    const { path, parameters } = target;
    const asked = { method: request.method ?? 'GET', path, query: parameters, body };
    send(response, answerAdminRequest(means, asked), { ...sending, faults: [] });
    return;
  }
  const address = addressOf(request);
  const place = findEndpoint(target.path);
  const logged = means.requests.add({
    atMs: means.wireClock.now(),
    address,
    subdomain: target.subdomain,
    endpoint: place?.endpoint ?? '?',
    method: request.method ?? 'GET',
    path: `${target.path}${target.parameters.size > 0 ? '?' : ''}${target.parameters.toString()}`,
  });
  const verdict = means.limiter.judge(address);
  if (verdict !== 'pass') {
    const answer = verdict === 'banned' ? pageAnswer(403) : tooMany(means);
    logged.status = send(response, answer, { ...sending, faults: [] });
    return;
  }
  const faults = means.faults.strike({
    endpoint: place?.endpoint,
    subdomain: target.subdomain,
    address,
  });
  logged.faults = faults.map(({ kind }) => kind);
  const body = await readBody(request);
  await wait(means, faults, false);
  const asked = { target, place, address, logged };
  const answer = answerWithFaults(means, { request, body, asked, faults });
  await wait(means, faults, true);
  logged.status = send(response, answer, { ...sending, faults });
}

async function wait(means: Means, faults: readonly FaultAction[], isAfter: boolean): Promise<void> {
  for (const fault of faults) {
    if (fault.kind !== 'latency' || fault.isAfter !== isAfter) continue;
    await new Promise<void>((resolve) => void means.wireClock.after(fault.ms, resolve));
  }
}

type Handled = {
  readonly request: IncomingMessage;
  readonly body: Buffer;
  readonly asked: Asked;
  readonly faults: readonly FaultAction[];
};

function answerWithFaults(means: Means, handled: Handled): Answer {
  const { faults, asked } = handled;
  const instead = insteadOf(faults);
  const lost = instead?.kind === 'status' ? answerOfFault(instead) : pageAnswer(502);
  if (instead && !instead.isHandled) return lost;
  let answer = answerOrRefuse(means, handled);
  if (instead) return lost;
  const twice = faults.find((fault) => fault.kind === 'duplicates');
  if (twice) {
    const limit = Number(asked.target.parameters.get('limit') ?? 50);
    answer = duplicateRows(answer, twice.rows, limit);
  }
  const edit = faults.find((fault) => fault.kind === 'edit');
  if (edit) editBehind(means, asked, { answer, rows: edit.rows });
  asked.logged.rows = rowsOf(answer)?.length;
  return answer;
}

function answerOrRefuse(means: Means, { request, body, asked }: Handled): Answer {
  try {
    return answerRequest(means, { request, body, asked });
  } catch (error) {
    if (error instanceof Problem) return problemAnswer(error);
    throw error;
  }
}

/** @throws Problem for every refusal. */
function answerRequest(means: Means, { request, body, asked }: Omit<Handled, 'faults'>): Answer {
  const { target, place } = asked;
  if (target.isTooLong) return pageAnswer(414);
  const bearer = /^Bearer (.+)$/i.exec(request.headers.authorization ?? '')?.[1];
  if (place?.endpoint === 'oauth2/account') {
    const refreshToken = request.headers['x-refresh-token'];
    const given = typeof refreshToken === 'string' ? refreshToken : undefined;
    return answerWhereAccountIs(means.worlds.values(), { bearer, refreshToken: given });
  }
  const world = target.subdomain === undefined ? undefined : means.worlds.get(target.subdomain);
  if (world === undefined) throw new Problem(404, 'Account not found');
  const parsed = parseBody(request, body);
  const method = request.method ?? 'GET';
  if (place?.endpoint === 'oauth2/access_token') {
    if (method !== 'POST') throw new Problem(405, `Method ${method} is not allowed here`);
    return answerTokenRequest(world, means.integration, { body: parsed, nowMs: means.clock.now() });
  }
  assertLetIn(world, bearer);
  if (place === undefined) throw new Problem(404, 'Not found');
  const { parameters, base, path } = target;
  const context = { world, method, ids: place.ids, parameters, base, path, body: parsed };
  return answerApiRequest(place.endpoint, context);
}

function assertLetIn(world: World, bearer: string | undefined): void {
  if (bearer === undefined || !world.tokens.accepts(bearer)) {
    throw new Problem(401, 'Invalid user name or password');
  }
  if (world.settings.isPaymentRequired) throw new Problem(402, 'Payment required');
}

function tooMany({ limiter }: Means): Answer {
  const { retryAfterSeconds, isInHeader, as } = limiter.settings;
  const headers = isInHeader ? { 'retry-after': String(retryAfterSeconds) } : {};
  if (as === 'html') return { ...pageAnswer(429), headers };
  const detail =
    'You have sent too many requests in a given amount of time. Please try again later.';
  const more = { retry_after: retryAfterSeconds };
  return { ...problemAnswer(new Problem(429, detail, more)), headers };
}

/** Behind a page of leads or contacts some of its rows change: their place in the order is another one now. */
function editBehind(
  means: Means,
  asked: Asked,
  { answer, rows }: { answer: Answer; rows: number },
) {
  const entity = asked.place?.endpoint;
  const world = means.worlds.get(asked.target.subdomain ?? '');
  if (world === undefined || (entity !== 'leads' && entity !== 'contacts')) return;
  const ids = (rowsOf(answer) ?? []).map(({ id }) => id);
  for (let count = 0; count < rows && ids.length > 0; count += 1) {
    const [id] = ids.splice(world.draw(ids.length), 1);
    if (id !== undefined && world[entity].get(id)?.isDeleted === false) world[entity].touch(id);
  }
}

function rowsOf(answer: Answer): { id: number }[] | undefined {
  const body = answer.body as { _embedded?: Record<string, unknown> } | undefined;
  const list = Object.values(body?._embedded ?? {})[0];
  return Array.isArray(list) ? (list as { id: number }[]) : undefined;
}

/** A client may stand behind a proxy: then that one says who it is. */
function addressOf(request: IncomingMessage): string {
  const forwarded = request.headers['x-forwarded-for'];
  const first = (Array.isArray(forwarded) ? forwarded[0] : forwarded)?.split(',')[0]?.trim();
  return first || (request.socket.remoteAddress ?? 'unknown');
}

function requestIdOf(count: number): string {
  return `fake-${String(count + 1).padStart(8, '0')}`;
}
