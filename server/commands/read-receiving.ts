import type { Queries, TextRow } from '../../platform/postgres.ts';
import { sql } from '../../platform/sql.ts';

/** What a device is to write down of what comes to it. */
export type Receiving = { readonly messages: boolean; readonly groups: boolean };

/** Of a device that is gone: nothing. */
export async function readReceiving(
  db: Queries,
  { accountId, deviceId }: { accountId: number; deviceId: number },
): Promise<Receiving> {
  const [row] = await db.query(sql`
    select receive_messages, receive_groups
    from public.devices
    where account_id = ${accountId} and id = ${deviceId}`);
  return receivingOf(row);
}

/** Of a row with both columns. */
export function receivingOf(row: TextRow | undefined): Receiving {
  return { messages: row?.['receive_messages'] === 't', groups: row?.['receive_groups'] === 't' };
}
