import { hasZodFastifySchemaValidationErrors } from 'fastify-type-provider-zod';
import { ClarinError, ERRORS } from '../../../domain/errors.ts';
import { translateError } from '../../../platform/sqlstate.ts';
import type { App, Reply, Request } from '../context.ts';

/** What leaves instead of a message of our own insides. */
const PUBLIC_MESSAGES: Readonly<Record<string, string>> = {
  timeout: 'this took too long and was given up; try again, a write with the same Idempotency-Key',
  unavailable: 'a service this needs is not reachable at the moment',
};

const RETRY_AFTER_SECONDS = 1;

/** One shape for every refusal: `{error, code, details?}`. Whatever is not ours leaves as "internal error". */
export function registerErrors(app: App): void {
  app.setErrorHandler((error, request, reply) => sendError(asClarinError(error), request, reply));
  app.setNotFoundHandler({ preHandler: app.rateLimit() }, (request, reply) =>
    sendError(
      new ClarinError('not_found', `there is no route ${request.method} ${pathOf(request)}`),
      request,
      reply,
    ),
  );
}

/** A path that cannot be decoded is refused before any hook runs: what those add is added here. */
export function refuseUnreadable(error: Error, request: Request, reply: Reply): void {
  reply.header('x-request-id', request.id);
  void sendError(
    new ClarinError('invalid_request', 'the path cannot be read', { cause: error }),
    request,
    reply,
  );
}

function sendError(error: ClarinError, request: Request, reply: Reply): Reply {
  const isPublic = error.status < 500;
  const code = isPublic || PUBLIC_MESSAGES[error.code] !== undefined ? error.code : 'internal';
  logOnce(error, request);
  const details = isPublic ? error.details : { request_id: request.id };
  const retryAfter =
    error.retryAfterSeconds ?? (ERRORS[error.code].retry ? RETRY_AFTER_SECONDS : undefined);
  if (retryAfter !== undefined && !reply.hasHeader('retry-after'))
    reply.header('retry-after', retryAfter);
  return reply
    .code(error.status)
    .type('application/json; charset=utf-8')
    .send(
      JSON.stringify({
        error: isPublic ? error.message : (PUBLIC_MESSAGES[error.code] ?? 'internal error'),
        code,
        ...(details === undefined ? {} : { details }),
      }),
    );
}

function logOnce(error: ClarinError, request: Request): void {
  // A caller who hung up has cancelled its statements: that is no error of anybody's. A path that could not be read
  // has not met the hook that makes the signal.
  const level = request.cancel?.aborted && error.code === 'timeout' ? 'debug' : error.level;
  const fields = {
    error,
    code: error.code,
    account: request.claims?.accountId,
    route: request.routeOptions.url,
  };
  request.log[level](fields, 'request refused');
}

/** Every error that can reach the handler as one of the catalogue. */
function asClarinError(error: unknown): ClarinError {
  if (error instanceof ClarinError) return error;
  if (hasZodFastifySchemaValidationErrors(error)) {
    const place = error.validationContext ?? 'body';
    const fields = error.validation.flatMap(({ instancePath, message, params }) => {
      const path = [place, ...instancePath.split('/').filter((part) => part !== '')];
      return closest({ path, message: message ?? 'is not valid', errors: params['errors'] });
    });
    const first = fields[0];
    return new ClarinError(
      'invalid_request',
      first ? `${first.field}: ${first.says}` : 'not valid',
      {
        details: { fields },
      },
    );
  }
  const status = statusOf(error);
  if (status === 413)
    return new ClarinError('too_large', 'the body is larger than 1 MiB', { cause: error });
  if (status !== undefined && status >= 400 && status < 500) {
    return new ClarinError('invalid_request', 'the request cannot be read: is the body JSON?', {
      cause: error,
    });
  }
  if (error instanceof Error && error.name === 'AbortError') {
    return new ClarinError('timeout', 'the caller is gone', { cause: error });
  }
  // The driver's errors come translated already; this only keeps the cause of anything else.
  const translated = translateError(error);
  return translated.code === 'unavailable'
    ? new ClarinError('internal', 'unexpected', { cause: error })
    : translated;
}

type Issue = { path: readonly unknown[]; message: string; errors?: unknown };

/** Of a value that fits none of several shapes: what is wrong with it as the one it comes closest to. */
function closest({ path, message, errors }: Issue): { field: string; says: string }[] {
  const shapes = (Array.isArray(errors) ? errors : []) as readonly (readonly Issue[])[];
  const [nearest] = shapes
    .map((issues) => issues.flatMap((one) => closest({ ...one, path: [...path, ...one.path] })))
    .toSorted((left, right) => left.length - right.length);
  return nearest && nearest.length > 0 ? nearest : [{ field: path.join('.'), says: message }];
}

function statusOf(error: unknown): number | undefined {
  if (typeof error !== 'object' || error === null || !('statusCode' in error)) return undefined;
  return typeof error.statusCode === 'number' ? error.statusCode : undefined;
}

/** The path without its query, which may hold anything, cut to a length that is fit to be repeated. */
function pathOf(request: Request): string {
  return (request.url.split('?', 1)[0] ?? '').slice(0, 200);
}
