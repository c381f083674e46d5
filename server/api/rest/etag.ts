import { createHash } from 'node:crypto';
import type { Entity } from '../../../domain/entity.ts';

const UPDATED_AT = '"updated_at":"';

/**
 * The ETag of an answer `{"data":{...}}` from its bytes. It begins with the row's updated_at, which is what If-Match
 * compares. A row that shows others (a lead its tags) can change without being written, so there a digest of the
 * bytes follows: `"2026-11-22T10:00:00.000000Z;k3v9q2m1"`. Undefined when the body has no updated_at.
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
  if (Object.keys(entity.embeds).length === 0) return `"${version}"`;
  const digest = createHash('sha1').update(body).digest('base64url').slice(0, 10);
  return `"${version};${digest}"`;
}
