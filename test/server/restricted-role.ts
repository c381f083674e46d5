import { sql } from '../../platform/sql.ts';
import type { Caller, TestApi } from './support.ts';

/** A member of the account whose role sees these devices only. */
export async function restrictedTo(
  api: TestApi,
  account: Caller,
  deviceIds: readonly (number | undefined)[],
  permissions: readonly string[] = ['chats'],
): Promise<{ readonly token: string }> {
  const token = await api.tokenOf(account, permissions);
  await api.owner.query(sql`
    update public.roles set device_ids = ${deviceIds.map(Number)}::bigint[]
    where account_id = ${account.accountId} and id = (
      select max(id) from public.roles where account_id = ${account.accountId}
    )`);
  return { token };
}
