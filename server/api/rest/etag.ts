import { createHash } from 'node:crypto';
import type { Entity } from '../../../domain/entity.ts';
import type { Reply, Request } from '../context.ts';
import { isNoneMatched } from './request-headers.ts';

const UPDATED_AT = '"updated_at":"';

/**
 * The ETag of an answer `{"data":{...}}` from its bytes. It begins with the row's updated_at, which is what If-Match
 * compares. A row that shows others (a lead its tags, a user their role) can change without being written, and an
 * account is shown without its settings to some; so there a digest of the bytes follows:
 * `"2026-11-22T10:00:00.000000Z;k3v9q2m1"`. Undefined when the body has no updated_at.
 */
export function etagOfAnswer(entity: Entity, body: string | Buffer): string | undefined {
  // The row's own columns come before its embeds, and text inside a value has its quotes escaped. Columns of kind
  // json are printed by Postgres with a space behind the colon. So the first match is the row's.
  const start = body.indexOf(UPDATED_AT);
  if (start < 0) return undefined;
  const from = start + UPDATED_AT.length;
  const to = body.indexOf('"', from);
  const version =
    typeof body === 'string' ? body.slice(from, to) : body.toString('latin1', from, to);
  const isPlain = entity.scope === 'tenant' && Object.keys(entity.embeds).length === 0;
  if (isPlain) return `"${version}"`;
  const digest = createHash('sha1').update(body).digest('base64url').slice(0, 10);
  return `"${version};${digest}"`;
}

/** Sends one row with its ETag, or 304 to who holds these very bytes. */
export function sendVersioned(
  request: Request,
  reply: Reply,
  entity: Entity,
  body: string | Buffer,
): Reply {
  const etag = etagOfAnswer(entity, body);
  if (etag === undefined) return reply.send(body);
  reply.header('etag', etag);
  return isNoneMatched(request, etag) ? reply.code(304).send() : reply.send(body);
}
