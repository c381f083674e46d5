import type { Queries } from '../../platform/postgres.ts';
import { sql } from '../../platform/sql.ts';
import type { KommoAccount, KommoUser } from '../kommo/documents.ts';
import { mapText } from '../kommo/map-values.ts';
import type { KommoScope } from './apply-kommo-looks.ts';

const NAME_MAX = 200;
const EMAIL_MAX = 254;

/** What a Kommo account says of itself. A currency that is no ISO code leaves the one that is known. Writes what differs. */
export async function applyKommoAccount(
  tx: Queries,
  { accountId, connectionId }: KommoScope,
  account: KommoAccount,
): Promise<void> {
  const name = mapText(account.name, NAME_MAX) ?? null;
  const code = account.currency?.trim().toUpperCase() ?? '';
  const currency = /^[A-Z]{3}$/.test(code) ? code : null;
  await tx.query(sql`
    update public.kommo_connections
    set kommo_account_id = ${account.id}, name = ${name}, currency = coalesce(${currency}, currency)
    where account_id = ${accountId} and id = ${connectionId}
      and (kommo_account_id, name, currency)
        is distinct from (${account.id}::bigint, ${name}::text, coalesce(${currency}, currency))`);
}

/**
 * All people of a Kommo account. Who of ours they are (the member with the same e-mail) is found when leads are written.
 * One statement, which writes what differs. Gives how many came, went or changed.
 */
export async function applyKommoUsers(
  tx: Queries,
  { accountId, connectionId }: KommoScope,
  users: readonly KommoUser[],
): Promise<number> {
  const people = new Map(
    users.map(({ id, name, email }) => [
      id,
      {
        id,
        name: mapText(name, NAME_MAX) ?? `User ${id}`,
        email: mapText(email?.trim(), EMAIL_MAX) ?? null,
      },
    ]),
  );
  const [row] = await tx.query(sql`
    with given as materialized (
      select given.id, given.name, given.email
      from jsonb_to_recordset(${JSON.stringify([...people.values()])}::jsonb) as given (id bigint, name text, email text)
    ),
    gone as (
      delete from private.kommo_users as known
      where known.connection_id = ${connectionId} and known.account_id = ${accountId}
        and not exists (select from given where given.id = known.kommo_id)
      returning known.kommo_id
    ),
    written as (
      insert into private.kommo_users as known (connection_id, kommo_id, account_id, name, email)
      select ${connectionId}::bigint, given.id, ${accountId}::bigint, given.name, given.email
      from given
      where not exists (
        select from private.kommo_users as same
        where same.connection_id = ${connectionId} and same.kommo_id = given.id
          and (same.name, same.email) is not distinct from (given.name, given.email)
      )
      order by given.id
      on conflict (connection_id, kommo_id) do update set name = excluded.name, email = excluded.email
      returning known.kommo_id
    )
    select (select count(*) from gone) + (select count(*) from written) as changed`);
  return Number(row?.['changed'] ?? 0);
}
