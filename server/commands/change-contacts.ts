import { ClarinError } from '../../domain/errors.ts';
import type { Queries } from '../../platform/postgres.ts';
import { sql, type Sql } from '../../platform/sql.ts';
import { countsOf, type Counts } from './change-leads.ts';
import type { Caller } from './contact-dependents.ts';
import { counting, tagging, untagging } from './counting.ts';
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

const LINKS = { links: 'contact_tags', owner: 'contact_id' } as const;

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
      return tagging({ accountId, ...LINKS, target, tagIds: change.tag_ids });
    case 'untag':
      return untagging({ accountId, ...LINKS, target, tagIds: change.tag_ids });
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
