import type { Queries } from '../../platform/postgres.ts';
import { sql } from '../../platform/sql.ts';
import { countsOf, type Counts } from './change-leads.ts';

export type Tagging = {
  readonly accountId: number;
  readonly tagId: number;
  readonly leads: readonly number[];
  readonly contacts: readonly number[];
};

/**
 * A tag is put on leads and contacts, in one statement; where it is already, nothing is written. Undefined: there is
 * no such tag in this account.
 */
export async function assignTag(tx: Queries, tagging: Tagging): Promise<Counts | undefined> {
  const { accountId, tagId, leads, contacts } = tagging;
  const rows = await tx.query(sql`
    with tag as (
      select id from public.tags where account_id = ${accountId} and id = ${tagId}
    ),
    lead as (
      select id from public.leads where account_id = ${accountId} and id = any(${[...leads]}::bigint[])
    ),
    contact as (
      select id from public.contacts where account_id = ${accountId} and id = any(${[...contacts]}::bigint[])
    ),
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
    )
    select (select count(*) from tag) as tags,
      (select count(*) from lead) + (select count(*) from contact) as matched,
      (select count(*) from tagged_leads) + (select count(*) from tagged_contacts) as changed`);
  return rows[0]?.['tags'] === '0' ? undefined : countsOf(rows[0]);
}

/** A tag is taken from leads and contacts, in one statement. Undefined: there is no such tag in this account. */
export async function removeTag(tx: Queries, tagging: Tagging): Promise<Counts | undefined> {
  const { accountId, tagId, leads, contacts } = tagging;
  const rows = await tx.query(sql`
    with tag as (
      select id from public.tags where account_id = ${accountId} and id = ${tagId}
    ),
    untagged_leads as (
      delete from public.lead_tags
      where account_id = ${accountId} and tag_id = ${tagId} and lead_id = any(${[...leads]}::bigint[])
      returning id
    ),
    untagged_contacts as (
      delete from public.contact_tags
      where account_id = ${accountId} and tag_id = ${tagId} and contact_id = any(${[...contacts]}::bigint[])
      returning id
    )
    select (select count(*) from tag) as tags,
      (select count(*) from public.leads where account_id = ${accountId} and id = any(${[...leads]}::bigint[]))
        + (select count(*) from public.contacts where account_id = ${accountId} and id = any(${[...contacts]}::bigint[]))
        as matched,
      (select count(*) from untagged_leads) + (select count(*) from untagged_contacts) as changed`);
  return rows[0]?.['tags'] === '0' ? undefined : countsOf(rows[0]);
}
