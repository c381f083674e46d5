import { chats } from '../../domain/entities/chats.ts';
import { inReach } from '../../platform/entity-sql/scope.ts';
import type { Queries } from '../../platform/postgres.ts';
import { sql, type Sql } from '../../platform/sql.ts';
import { countsOf, type Counts } from './change-leads.ts';

export type Tagging = {
  readonly accountId: number;
  /** Whose chats; undefined: those of every device. */
  readonly devices?: readonly number[] | undefined;
  readonly tagId: number;
  readonly leads: readonly number[];
  readonly contacts: readonly number[];
  readonly chats: readonly number[];
};

/**
 * A tag is put on leads, contacts and chats, in one statement; where it is already, nothing is written. Undefined:
 * there is no such tag in this account.
 */
export async function assignTag(tx: Queries, tagging: Tagging): Promise<Counts | undefined> {
  const { accountId } = tagging;
  const rows = await tx.query(sql`
    with ${targetsOf(tagging)},
    tagged_leads as (
      insert into public.lead_tags (account_id, lead_id, tag_id)
      select ${accountId}::bigint, lead.id, tag.id from lead cross join tag order by lead.id
      on conflict (account_id, lead_id, tag_id) do nothing
      returning id
    ),
    tagged_contacts as (
      insert into public.contact_tags (account_id, contact_id, tag_id)
      select ${accountId}::bigint, contact.id, tag.id from contact cross join tag order by contact.id
      on conflict (account_id, contact_id, tag_id) do nothing
      returning id
    ),
    tagged_chats as (
      insert into public.chat_tags (account_id, chat_id, tag_id)
      select ${accountId}::bigint, chat.id, tag.id from chat cross join tag order by chat.id
      on conflict (account_id, chat_id, tag_id) do nothing
      returning id
    )
    select ${COUNTED},
      (select count(*) from tagged_leads) + (select count(*) from tagged_contacts)
        + (select count(*) from tagged_chats) as changed`);
  return rows[0]?.['tags'] === '0' ? undefined : countsOf(rows[0]);
}

/** A tag is taken from leads, contacts and chats, in one statement. Undefined: there is no such tag in this account. */
export async function removeTag(tx: Queries, tagging: Tagging): Promise<Counts | undefined> {
  const { accountId, tagId } = tagging;
  const rows = await tx.query(sql`
    with ${targetsOf(tagging)},
    untagged_leads as (
      delete from public.lead_tags as link
      using lead
      where link.account_id = ${accountId} and link.tag_id = ${tagId} and link.lead_id = lead.id
      returning link.id
    ),
    untagged_contacts as (
      delete from public.contact_tags as link
      using contact
      where link.account_id = ${accountId} and link.tag_id = ${tagId} and link.contact_id = contact.id
      returning link.id
    ),
    untagged_chats as (
      delete from public.chat_tags as link
      using chat
      where link.account_id = ${accountId} and link.tag_id = ${tagId} and link.chat_id = chat.id
      returning link.id
    )
    select ${COUNTED},
      (select count(*) from untagged_leads) + (select count(*) from untagged_contacts)
        + (select count(*) from untagged_chats) as changed`);
  return rows[0]?.['tags'] === '0' ? undefined : countsOf(rows[0]);
}

/**
 * The tag, and those of the named rows that are there and in reach: held, so that one that is deleted meanwhile is left
 * out instead of keeping all others from it. Contacts before what hangs on them, as whoever deletes or merges them.
 */
function targetsOf(tagging: Tagging): Sql {
  const { accountId, tagId, leads, contacts } = tagging;
  return sql`
    tag as (
      select id from public.tags where account_id = ${accountId} and id = ${tagId} for key share
    ),
    contact as materialized (
      select id from public.contacts
      where account_id = ${accountId} and id = any(${[...contacts]}::bigint[])
      order by id
      for key share
    ),
    lead as materialized (
      select id from public.leads
      where account_id = ${accountId} and id = any(${[...leads]}::bigint[]) and (select count(*) from contact) >= 0
      order by id
      for key share
    ),
    chat as materialized (
      select chat.id
      from public.chats as chat
      where ${inReach(chats, 'chat', tagging)} and chat.id = any(${[...tagging.chats]}::bigint[])
        and (select count(*) from lead) >= 0
      order by chat.id
      for key share
    )`;
}

const COUNTED = sql`
  (select count(*) from tag) as tags,
  (select count(*) from lead) + (select count(*) from contact) + (select count(*) from chat) as matched`;
