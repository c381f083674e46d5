import type { Queries } from '../../platform/postgres.ts';
import { sql } from '../../platform/sql.ts';

/**
 * Files that came by a device, of messages that are gone, and that nothing else shows: nobody fetches them any more.
 * What somebody uploaded stays. One statement.
 */
export async function dropFiles(
  tx: Queries,
  accountId: number,
  ids: readonly number[],
): Promise<void> {
  if (ids.length === 0) return;
  await tx.query(sql`
    delete from public.media as file
    where file.account_id = ${accountId} and file.id = any(${[...ids]}::bigint[])
      and file.device_id is not null and file.created_by is null
      and not exists (
        select from public.messages where account_id = ${accountId} and media_id = file.id
      )
      and not exists (
        select from public.quick_replies where account_id = ${accountId} and media_id = file.id
      )
      and not exists (
        select from public.campaigns where account_id = ${accountId} and media_id = file.id
      )`);
}
