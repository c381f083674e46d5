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
  // Held: that it is deleted in this very moment must not keep the message out.
  const [row] = await tx.query(sql`
    with stage as materialized (
      select stage.id
      from public.accounts as account
      join public.pipeline_stages as stage on stage.account_id = account.id and stage.id = account.default_stage_id
      where account.id = ${accountId}
      for key share of stage
    )
    insert into public.leads (account_id, contact_id, title, source, stage_id)
    select contact.account_id, contact.id,
      coalesce(nullif(btrim(contact.display_name), ''), contact.lid, 'WhatsApp'), 'whatsapp', stage.id
    from public.contacts as contact
    cross join stage
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
