import type { Queries } from '../../platform/postgres.ts';
import { sql } from '../../platform/sql.ts';
import type { KommoScope } from './apply-kommo-looks.ts';

type Pulse = {
  /** Until the next pass. */
  readonly cadenceMs: number;
  /** Sent since the last pulse. */
  readonly requests: number;
};

/** A pass over what changed is complete. In no WAL: it is written every few seconds. */
export async function beatKommoPulse(
  db: Queries,
  { accountId, connectionId }: KommoScope,
  { cadenceMs, requests }: Pulse,
): Promise<void> {
  await db.query(sql`
    insert into private.kommo_pulses as pulse
      (connection_id, account_id, polled_at, cadence_seconds, requests)
    values (${connectionId}, ${accountId}, clock_timestamp(), ${cadenceMs / 1_000}, ${requests})
    on conflict (connection_id) do update
      set account_id = excluded.account_id, polled_at = excluded.polled_at,
        cadence_seconds = excluded.cadence_seconds, requests = pulse.requests + excluded.requests`);
}

/** Milliseconds since the last one; undefined: there was none, or a crash of Postgres has taken it. */
export async function readKommoPulseAge(
  db: Queries,
  { accountId, connectionId }: KommoScope,
): Promise<number | undefined> {
  const [row] = await db.query(sql`
    select extract(epoch from clock_timestamp() - polled_at) * 1000 as age
    from private.kommo_pulses
    where account_id = ${accountId} and connection_id = ${connectionId}`);
  return row && Number(row['age']);
}
