import { ClarinError } from '../../domain/errors.ts';
import type { Queries } from '../../platform/postgres.ts';
import { sql, type Sql } from '../../platform/sql.ts';
import { counting, countsOf, type Counts } from './change-leads.ts';
import type { Caller } from './contact-dependents.ts';
import { deleteContacts } from './delete-contact.ts';

/** One change for many contacts. */
export type ContactsChange =
  | { readonly action: 'tag' | 'untag'; readonly tag_ids: readonly number[] }
  | { readonly action: 'do_not_contact'; readonly reason?: string | undefined }
  | { readonly action: 'allow_contact' }
  /** For good; together with what hangs on them only where that is said. */
  | {
      readonly action: 'delete';
      readonly with_leads?: boolean | undefined;
      readonly with_chats?: boolean | undefined;
    };

/** Contacts one request may name. */
export const CONTACTS_MAX = 10_000;

type Options = Caller & {
  readonly actorId: number;
  readonly ids: readonly number[];
  readonly change: ContactsChange;
};

/**
 * Many contacts are changed alike, in one statement (deleted: in one transaction); those that are in that state
 * already are not written. `matched` counts the contacts of this account among the ids, `changed` what was written.
 * @throws ClarinError unprocessable when a tag is not there; conflict, forbidden when they cannot be deleted.
 */
export async function changeContacts(tx: Queries, options: Options): Promise<Counts> {
  const { change } = options;
  if (change.action === 'delete') {
    return deleteContacts(tx, {
      ...options,
      withLeads: change.with_leads ?? false,
      withChats: change.with_chats ?? false,
    });
  }
  const rows = await tx.query(statementOf(options, change));
  if (rows[0]?.['is_known'] === 'f')
    throw new ClarinError('unprocessable', 'a row this refers to is not there');
  return countsOf(rows[0]);
}

function statementOf(
  { accountId, actorId, ids }: Options,
  change: Exclude<ContactsChange, { action: 'delete' }>,
): Sql {
  // Locked in the order of their ids: two such statements cannot wait for each other.
  const target = sql`
    select contact.id
    from public.contacts as contact
    where contact.account_id = ${accountId} and contact.id = any(${[...ids]}::bigint[])
    order by contact.id
    for no key update`;
  switch (change.action) {
    case 'tag':
      return tagStatement(accountId, target, change.tag_ids);
    case 'untag':
      return counting(
        target,
        sql`
          delete from public.contact_tags as link
          using target
          where link.account_id = ${accountId} and link.contact_id = target.id
            and link.tag_id = any(${[...change.tag_ids]}::bigint[])
          returning link.id`,
      );
    case 'do_not_contact':
      return counting(
        target,
        sql`
          update public.contacts as contact
          set do_not_contact = true, do_not_contact_by = ${actorId}::bigint,
            do_not_contact_reason = ${change.reason ?? null}
          from target
          where contact.account_id = ${accountId} and contact.id = target.id and not contact.do_not_contact
          returning contact.id`,
      );
    case 'allow_contact':
      return counting(
        target,
        sql`
          update public.contacts as contact
          set do_not_contact = false
          from target
          where contact.account_id = ${accountId} and contact.id = target.id and contact.do_not_contact
          returning contact.id`,
      );
    default:
      return change satisfies never;
  }
}

/** All tags must be of this account; a link that exists already is left alone. */
function tagStatement(accountId: number, target: Sql, tagIds: readonly number[]): Sql {
  const wanted = [...new Set(tagIds)];
  return sql`
    with target as materialized (${target}),
    tag as (
      select id
      from public.tags
      where account_id = ${accountId} and id = any(${wanted}::bigint[])
    ),
    changed as (
      insert into public.contact_tags (account_id, contact_id, tag_id)
      select ${accountId}::bigint, target.id, tag.id
      from target
      cross join tag
      order by target.id, tag.id
      on conflict (account_id, contact_id, tag_id) do nothing
      returning id
    )
    select (select count(*) from target) as matched, (select count(*) from changed) as changed,
      (select count(*) from tag) = ${wanted.length}::bigint as is_known`;
}
