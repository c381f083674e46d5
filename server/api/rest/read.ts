import { formatCursor } from '../../../domain/cursor.ts';
import { ClarinError } from '../../../domain/errors.ts';
import type { CachedBody } from '../../../platform/cache/reader.ts';
import { principalOf, type Context, type Reply, type Request } from '../context.ts';
import { ABSENT } from './loaders.ts';
import { readMinCommit } from './request-headers.ts';

export const JSON_TYPE = 'application/json; charset=utf-8';

export type Read = {
  /** Where the answer is kept; undefined: it always comes from Postgres. */
  place?: { readonly family: string; readonly field: string } | undefined;
  /** The whole body, JSON text; undefined: there is no such row. Must read the primary, now. */
  load: (signal: AbortSignal) => Promise<string | undefined>;
};

/** Attempts to get an answer whose loading another caller, since gone, had begun. */
const SHARED_ATTEMPTS = 3;

/**
 * Reads through the cache or from Postgres and sets the headers of every read. Bytes from Redis are not parsed.
 * @throws ClarinError not_found when there is no such row.
 */
export async function read(
  context: Context,
  request: Request,
  reply: Reply,
  what: Read,
): Promise<string | Buffer> {
  const { body, status, cursor } = what.place
    ? await readShared(context, request, { ...what, place: what.place })
    : await readPrimary(context, request, what);
  reply.header('clarin-cache', status);
  if (cursor) reply.header('clarin-cursor', formatCursor(cursor));
  if (body.length === ABSENT.length && body.toString() === ABSENT) throw notFound();
  reply.type(JSON_TYPE);
  return body;
}

/** A foreign id and an id that never was look the same. */
export function notFound(): ClarinError {
  return new ClarinError('not_found', 'there is no such row');
}

async function readPrimary(context: Context, request: Request, what: Read): Promise<CachedBody> {
  // Postgres is as new as can be, so the header asks for nothing here; it must be well-formed all the same.
  readMinCommit(request);
  // Before the snapshot: whatever ends at or before it is in the answer.
  const cursor = await context.cache.position();
  return { body: (await what.load(request.cancel)) ?? ABSENT, status: 'bypass', cursor };
}

/**
 * Concurrent misses share one query, which ends with the caller who began it. Those who shared it and are still
 * here begin another.
 */
async function readShared(
  context: Context,
  request: Request,
  what: Read & { place: NonNullable<Read['place']> },
): Promise<CachedBody> {
  const minCommit = readMinCommit(request);
  const load = async (): Promise<string> => {
    try {
      return (await what.load(request.cancel)) ?? ABSENT;
    } catch (error) {
      if (!request.cancel.aborted) throw error;
      throw new ClarinError('timeout', 'the caller is gone', {
        cause: error,
        details: { abandoned: true },
      });
    }
  };
  const { accountId } = principalOf(request);
  for (let attempt = 1; ; attempt++) {
    try {
      return await context.cache.readThrough({ accountId, ...what.place, minCommit, load });
    } catch (error) {
      const isAbandoned = error instanceof ClarinError && error.details?.['abandoned'] === true;
      if (!isAbandoned || request.cancel.aborted || attempt === SHARED_ATTEMPTS) throw error;
    }
  }
}
