import { createHash, randomBytes } from 'node:crypto';
import type { Queries } from '../../platform/postgres.ts';
import { sql } from '../../platform/sql.ts';
import type { KommoHint } from '../kommo/webhook-body.ts';
import { notifyKommo } from '../../platform/kommo-notes.ts';

type Place = { accountId: number; id: number };

/** 256 bits: Kommo signs nothing, so whoever knows the address is believed to be Kommo. */
const SECRET_BYTES = 32;

const hashOf = (secret: string): Buffer => createHash('sha256').update(secret).digest();

/**
 * A new secret for the address that Kommo calls; the one before is no good any more. It is shown once and kept as a
 * hash. Undefined: no such connection.
 */
export async function renewKommoWebhook(
  tx: Queries,
  { accountId, id }: Place,
): Promise<string | undefined> {
  const secret = randomBytes(SECRET_BYTES).toString('base64url');
  const [row] = await tx.query(sql`
    insert into private.kommo_webhooks (connection_id, account_id, secret_hash)
    select id, account_id, ${hashOf(secret)}
    from public.kommo_connections
    where account_id = ${accountId} and id = ${id}
    on conflict (connection_id) do update
      set secret_hash = excluded.secret_hash, created_at = now()
    returning connection_id`);
  return row && secret;
}

export type KommoWebhook = {
  readonly connectionId: number;
  readonly accountId: number;
  /** Kommo's own id of its account, once it has said it. */
  readonly kommoAccountId: number | undefined;
};

/** Whose webhook has this secret; undefined: nobody's, or that of a connection that is disconnected. */
export async function findKommoWebhook(
  db: Queries,
  secret: string,
): Promise<KommoWebhook | undefined> {
  const [row] = await db.query(sql`
    select connection.id, connection.account_id, connection.kommo_account_id
    from private.kommo_webhooks as webhook
    join public.kommo_connections as connection
      on connection.account_id = webhook.account_id and connection.id = webhook.connection_id
    where webhook.secret_hash = ${hashOf(secret)} and connection.status <> 'disconnected'`);
  return (
    row && {
      connectionId: Number(row['id']),
      accountId: Number(row['account_id']),
      kommoAccountId:
        row['kommo_account_id'] === null ? undefined : Number(row['kommo_account_id']),
    }
  );
}

/** So many may wait for one connection: what is beyond is found by the next pass, and anybody may have sent it. */
const WAITING_MAX = 10_000;

/**
 * The worker fetches these before anything else. What waits already is not written again, and nothing is where so much waits,
 * or of an account that is closed: nobody comes for it.
 */
export async function acceptKommoHints(
  tx: Queries,
  { connectionId, accountId }: Pick<KommoWebhook, 'connectionId' | 'accountId'>,
  hints: readonly KommoHint[],
): Promise<void> {
  const sorted = hints.toSorted((a, b) => a.kommoId - b.kommoId);
  await tx.query(sql`
    insert into private.kommo_hints (connection_id, entity, kommo_id)
    select connection.id, hint.entity, hint.kommo_id
    from public.kommo_connections as connection
    cross join unnest(
      ${sorted.map(({ entity }) => entity)}::text[], ${sorted.map(({ kommoId }) => kommoId)}::bigint[]
    ) as hint (entity, kommo_id)
    join public.accounts as account on account.id = connection.account_id and account.is_active
    where connection.account_id = ${accountId} and connection.id = ${connectionId} and (
      select count(*)
      from (
        select from private.kommo_hints where connection_id = ${connectionId} limit ${WAITING_MAX}
      ) as waiting
    ) < ${WAITING_MAX}
    on conflict do nothing`);
  await notifyKommo(tx, { kind: 'hint', connectionId });
}
