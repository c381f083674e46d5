import { createHmac } from 'node:crypto';
import { ClarinError } from '../../../domain/errors.ts';
import type { Queries } from '../../../platform/postgres.ts';
import { sql } from '../../../platform/sql.ts';
import type { Request } from '../context.ts';

/** What a write answers: JSON text, as it leaves and as it is kept for a repetition. */
export type Answer = {
  readonly status: number;
  readonly body: string;
  /** What is kept instead of a body that shows a secret once. */
  readonly kept?: string | undefined;
  readonly etag?: string | undefined;
};

export type Claim = {
  readonly accountId: number;
  readonly userId: number;
  readonly key: string;
  readonly requestHash: string;
};

/** A key is forgotten a day after its first use. */
const KEY_HOURS = 24;

/**
 * Method, path with query, and body. Keyed, because bodies may hold passwords, and what is kept of them must not
 * be open to guessing. And whose devices it was about: what was answered then is not shown to a role that sees fewer by
 * now, nor to a program what its maker was answered.
 */
export function hashRequest(secret: string, request: Request): string {
  const { deviceIds = null, apiKeyId = null } = request.principal ?? {};
  const sight = JSON.stringify([deviceIds, apiKeyId]);
  return createHmac('sha256', secret)
    .update(`${request.method} ${request.url}\n${sight}\n${JSON.stringify(request.body ?? null)}`)
    .digest('hex');
}

/**
 * Takes the key inside the transaction of the write. A concurrent duplicate waits here for the first one's
 * transaction: when that commits, its answer is returned; when it rolls back, the key is ours.
 * Undefined: go on and write. @throws ClarinError `idempotency_mismatch` when the key belongs to another request.
 */
export async function claimKey(tx: Queries, claim: Claim): Promise<Answer | undefined> {
  const taken = await tx.query(sql`
    insert into private.idempotency_keys as known (account_id, user_id, key, request_hash)
    values (${claim.accountId}, ${claim.userId}, ${claim.key}, ${claim.requestHash})
    on conflict (account_id, user_id, key) do update
      set request_hash = excluded.request_hash, status = null, body = null, etag = null, created_at = now()
      where known.created_at < now() - make_interval(hours => ${KEY_HOURS})
    returning true as is_ours`);
  if (taken.length > 0) return undefined;
  const rows = await tx.query(sql`
    select request_hash, status, body, etag
    from private.idempotency_keys
    where account_id = ${claim.accountId} and user_id = ${claim.userId} and key = ${claim.key}`);
  const row = rows[0];
  if (row?.['request_hash'] !== claim.requestHash) {
    throw new ClarinError(
      'idempotency_mismatch',
      'this Idempotency-Key was used with another request',
    );
  }
  return { status: Number(row['status']), body: row['body'] ?? '', etag: row['etag'] ?? undefined };
}

/** Keeps the answer with the key, in the same transaction: both are there or neither is. */
export async function keepAnswer(tx: Queries, claim: Claim, answer: Answer): Promise<void> {
  await tx.query(sql`
    update private.idempotency_keys
    set status = ${answer.status}, body = ${answer.kept ?? answer.body}, etag = ${answer.etag ?? null}
    where account_id = ${claim.accountId} and user_id = ${claim.userId} and key = ${claim.key}`);
}
