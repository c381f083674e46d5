import type { Queries } from '../../platform/postgres.ts';
import { sql } from '../../platform/sql.ts';

type Options = {
  readonly accountId: number;
  readonly contactId: number;
  /** Made in this transaction: nobody else can be at it. */
  readonly isNewContact: boolean;
};

/**
 * Somebody writes for the first time: a lead in the account's default stage. Undefined, and nothing is written, when
 * the contact has a lead of any kind already, has written before by whichever device, or the account has no default
 * stage. To be called before the message is written. Two first messages that come at once make one lead.
 */
export async function openFirstLead(
  tx: Queries,
  { accountId, contactId, isNewContact }: Options,
): Promise<number | undefined> {
  if (!isNewContact) {
    await tx.query(sql`
      select 1 from public.contacts where account_id = ${accountId} and id = ${contactId} for no key update`);
  }
  const [row] = await tx.query(sql`
    insert into public.leads (account_id, contact_id, title, source)
    select contact.account_id, contact.id,
      coalesce(nullif(btrim(contact.display_name), ''), contact.lid, 'WhatsApp'), 'whatsapp'
    from public.contacts as contact
    join public.accounts as account on account.id = contact.account_id and account.default_stage_id is not null
    where contact.account_id = ${accountId} and contact.id = ${contactId} and not contact.is_group
      and not exists (
        select from public.leads where account_id = ${accountId} and contact_id = contact.id
      )
      and not exists (
        select from public.chats
        where account_id = ${accountId} and contact_id = contact.id and last_inbound_at is not null
      )
    returning id`);
  return row ? Number(row['id']) : undefined;
}
