import { parseJid } from '../../domain/jid.ts';
import type { Queries } from '../../platform/postgres.ts';
import { sql } from '../../platform/sql.ts';
import { storableText } from './storable-text.ts';

/** What is known of somebody's names; what is left out is not known. */
export type NamedContact = {
  /** By number or by LID. */
  readonly jid: string;
  /** In the device's address book. */
  readonly bookName?: string | undefined;
  /** What they call themselves, or what a business is called. */
  readonly pushName?: string | undefined;
};

type Options = {
  readonly accountId: number;
  readonly deviceId: number;
  readonly contacts: readonly NamedContact[];
};

const NAME_MAX = 200;

/**
 * Names that a device knows people by, of those who are contacts: an address book makes no contacts. Who has no name yet
 * gets the one of the address book. Two statements however many, which write nothing that is known.
 */
export async function noteContactNames(
  tx: Queries,
  { accountId, deviceId, contacts }: Options,
): Promise<void> {
  const given = contacts.flatMap(({ jid, bookName, pushName }) => {
    const address = parseJid(jid);
    if (address?.kind !== 'user' && address?.kind !== 'lid') return [];
    const kind = address.kind === 'lid' ? 'lid' : 'jid';
    const names = [storableText(bookName, NAME_MAX), storableText(pushName, NAME_MAX)] as const;
    return [{ kind, value: address.address, book: names[0] ?? null, push: names[1] ?? null }];
  });
  if (given.length === 0) return;
  const named = sql`
    select identity.contact_id, max(given.book) as book, max(given.push) as push
    from jsonb_to_recordset(${JSON.stringify(given)}::jsonb)
      as given (kind text, value text, book text, push text)
    join public.contact_identities as identity
      on identity.account_id = ${accountId} and identity.kind = given.kind and identity.value = given.value
    group by identity.contact_id`;
  await tx.query(sql`
    with named as (${named}), held as materialized (
      select contact.id, named.book, named.push
      from public.contacts as contact
      join named on named.contact_id = contact.id
      where contact.account_id = ${accountId} and (
        (named.push is not null and contact.push_name is distinct from named.push)
        or (named.book is not null and contact.name is null)
      )
      order by contact.id
      for no key update of contact
    )
    update public.contacts as contact
    set push_name = coalesce(held.push, contact.push_name), name = coalesce(contact.name, held.book)
    from held
    where contact.account_id = ${accountId} and contact.id = held.id`);
  await tx.query(sql`
    with named as (${named})
    insert into public.contact_device_names as known (account_id, contact_id, device_id, name)
    select ${accountId}::bigint, named.contact_id, ${deviceId}::bigint, named.book
    from named
    where named.book is not null
    order by named.contact_id
    on conflict (account_id, contact_id, device_id) do update
    set name = excluded.name
    where known.name is distinct from excluded.name`);
}
