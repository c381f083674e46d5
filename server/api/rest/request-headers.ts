import { ClarinError } from '../../../domain/errors.ts';
import { parseLsn, type Lsn } from '../../../domain/lsn.ts';
import type { Request } from '../context.ts';

/** Headers of requests that mean something to us, parsed. Each throws ClarinError `invalid_request` when malformed. */

function single(request: Request, name: string): string | undefined {
  const value = request.headers[name];
  return Array.isArray(value) ? value[0] : value;
}

function malformed(name: string, says: string): ClarinError {
  return new ClarinError('invalid_request', `${name} ${says}`, {
    details: { fields: [{ field: `headers.${name}`, says }] },
  });
}

/** `Clarin-Min-Commit`: the reader wants to see at least this commit, as an earlier `Clarin-Commit` named it. */
export function readMinCommit(request: Request): Lsn | undefined {
  const text = single(request, 'clarin-min-commit');
  if (text === undefined) return undefined;
  const lsn = parseLsn(text);
  if (lsn === undefined) throw malformed('clarin-min-commit', 'is not an LSN like 16/B374D848');
  return lsn;
}

export function readIdempotencyKey(request: Request): string | undefined {
  const key = single(request, 'idempotency-key');
  if (key === undefined) return undefined;
  if (!/^[\x21-\x7e]{1,255}$/.test(key))
    throw malformed('idempotency-key', 'is not 1 to 255 visible ASCII characters');
  return key;
}

export function readOperationId(request: Request): string | undefined {
  const operation = single(request, 'x-operation-id');
  if (operation === undefined) return undefined;
  if (!/^[\x21-\x7e]{1,128}$/.test(operation)) {
    throw malformed('x-operation-id', 'is not 1 to 128 visible ASCII characters');
  }
  return operation;
}

/**
 * The version a writer has seen: updated_at as it stood in the ETag. Undefined without the header and for `*`.
 * What stands behind `;` in an ETag tells representations apart and is no part of the row's version.
 * A weak ETag is a version that no row has: If-Match compares strongly. RFC 9110 section 13.1.1
 */
export function readIfMatch(request: Request): string | undefined {
  const text = single(request, 'if-match')?.trim();
  if (text === undefined || text === '*') return undefined;
  const [, weak, tag] = /^(W\/)?"([^";]{1,64})(?:;[^"]{0,64})?"$/.exec(text) ?? [];
  if (tag === undefined) throw malformed('if-match', 'is not one ETag');
  return weak === undefined ? tag : text;
}

/**
 * The whole ETag a writer has seen, for what changes the rows that the answer shows besides its own.
 * Undefined without the header and for `*`.
 */
export function readIfMatchWhole(request: Request): string | undefined {
  return readIfMatch(request) === undefined ? undefined : single(request, 'if-match')?.trim();
}

/** Whether the reader holds this representation already. RFC 9110 section 13.1.2: weak comparison. */
export function isNoneMatched(request: Request, etag: string): boolean {
  const text = single(request, 'if-none-match');
  if (text === undefined) return false;
  if (text.trim() === '*') return true;
  return text.split(',').some((tag) => tag.trim().replace(/^W\//, '') === etag);
}
