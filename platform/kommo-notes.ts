import type { Queries } from './postgres.ts';
import { sql } from './sql.ts';

/** What the workers listen to. A note that is lost costs as long as it takes until the next pass. */
export const KOMMO_CHANNEL = 'clarin_kommo';

export type KommoNote =
  /** Ids wait to be fetched. */
  | { readonly kind: 'hint'; readonly connectionId: number }
  /** Its status, its pipelines or a full sync was asked for by a person. */
  | { readonly kind: 'changed'; readonly connectionId: number }
  /** Somebody of the account looks at what comes from there. */
  | { readonly kind: 'watched'; readonly accountId: number };

/** Told when the transaction commits; writes nothing. https://www.postgresql.org/docs/current/sql-notify.html */
export async function notifyKommo(
  tx: Queries,
  note: Exclude<KommoNote, { kind: 'watched' }>,
): Promise<void> {
  await tx.query(sql`select pg_notify(${KOMMO_CHANNEL}, ${`${note.kind} ${note.connectionId}`})`);
}

/** The same for many accounts at once. */
export async function noteWatched(db: Queries, accountIds: readonly number[]): Promise<void> {
  await db.query(sql`
    select pg_notify(${KOMMO_CHANNEL}, 'watched ' || account_id)
    from unnest(${accountIds}::bigint[]) as watched (account_id)`);
}

/** Undefined for what none of ours wrote. */
export function parseKommoNote(payload: string): KommoNote | undefined {
  const [kind, text = ''] = payload.split(' ');
  const id = /^[1-9]\d{0,15}$/.test(text) ? Number(text) : undefined;
  if (id === undefined) return undefined;
  if (kind === 'watched') return { kind, accountId: id };
  return kind === 'hint' || kind === 'changed' ? { kind, connectionId: id } : undefined;
}
