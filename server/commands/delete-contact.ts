import { contacts } from '../../domain/entities/contacts.ts';
import { ClarinError } from '../../domain/errors.ts';
import type { Queries } from '../../platform/postgres.ts';
import { ident, sql } from '../../platform/sql.ts';
import { countsOf, type Counts } from './change-leads.ts';
import {
  assertMayTouch,
  countDependents,
  dependentsOf,
  type Caller,
} from './contact-dependents.ts';
import { deleteRow } from './delete-row.ts';

/** What goes with the contacts; without it, contacts that have some stay. */
export type Along = { readonly withLeads: boolean; readonly withChats: boolean };

/**
 * A contact is deleted for good, in one transaction; with its leads and its chats only where that was asked for in so
 * many words. Gives the contact as it was, JSON text.
 * @throws ClarinError not_found, precondition_failed, conflict, forbidden.
 */
export async function deleteContact(
  tx: Queries,
  options: Caller & Along & { id: number; ifMatch?: string | undefined },
): Promise<string> {
  const { accountId, id, ifMatch } = options;
  await clearContacts(tx, options, [id]);
  return deleteRow(tx, { entity: contacts, accountId, id, ifMatch });
}

/** Many contacts are deleted like one: all of them or none. @throws ClarinError conflict, forbidden. */
export async function deleteContacts(
  tx: Queries,
  options: Caller & Along & { ids: readonly number[] },
): Promise<Counts> {
  const { accountId, ids } = options;
  await clearContacts(tx, options, ids);
  const rows = await tx.query(sql`
    with gone as (
      delete from public.contacts
      where account_id = ${accountId} and id = any(${[...ids]}::bigint[])
      returning id
    )
    select count(*) as matched, count(*) as changed from gone`);
  return countsOf(rows[0]);
}

/** The contacts are held against whoever would give them leads or chats meanwhile, in the order of their ids. */
async function clearContacts(
  tx: Queries,
  { withLeads, withChats, ...caller }: Caller & Along,
  ids: readonly number[],
): Promise<void> {
  const { accountId } = caller;
  await tx.query(sql`
    select id
    from public.contacts
    where account_id = ${accountId} and id = any(${[...ids]}::bigint[])
    order by id
    for update`);
  const rows = await tx.query(sql`select ${countDependents(caller, ids)}`);
  const found = dependentsOf(rows[0]);
  assertNothingStays({ withLeads, withChats }, found);
  assertMayTouch(caller, found);
  if (found.leads > 0) await deleteHanging(tx, 'leads', { accountId, ids });
  if (found.chats > 0) await deleteHanging(tx, 'chats', { accountId, ids });
  // They would go by themselves, one statement for each contact, and each would count its campaigns anew.
  await tx.query(sql`
    delete from public.campaign_recipients
    where account_id = ${accountId} and contact_id = any(${[...ids]}::bigint[])`);
}

/** In the order of their ids, as whoever changes many of them locks them. */
async function deleteHanging(
  tx: Queries,
  table: 'leads' | 'chats',
  { accountId, ids }: { accountId: number; ids: readonly number[] },
): Promise<void> {
  await tx.query(sql`
    with held as materialized (
      select hanging.id
      from public.${ident(table)} as hanging
      where hanging.account_id = ${accountId} and hanging.contact_id = any(${[...ids]}::bigint[])
      order by hanging.id
      for update
    )
    delete from public.${ident(table)} as hanging
    using held
    where hanging.account_id = ${accountId} and hanging.id = held.id`);
}

function assertNothingStays(
  { withLeads, withChats }: Along,
  { leads, chats }: { leads: number; chats: number },
): void {
  const left = { ...(withLeads ? {} : { leads }), ...(withChats ? {} : { chats }) };
  const named = Object.entries(left).filter(([, count]) => count > 0);
  if (named.length === 0) return;
  const what = named.map(([name]) => name).join(' and ');
  const say = named.map(([name]) => `with_${name}=true`).join(' and ');
  throw new ClarinError('conflict', `there are ${what} in it: delete them first, or say ${say}`, {
    details: Object.fromEntries(named),
  });
}
