import { contacts } from '../../domain/entities/contacts.ts';
import { publishedColumns, type RowOf } from '../../domain/entity.ts';
import { ClarinError } from '../../domain/errors.ts';
import { mergeContactRows } from '../../domain/merged-contact.ts';
import { compileRowWriter } from '../../domain/row-json.ts';
import { inReach, selectColumns } from '../../platform/entity-sql/scope.ts';
import type { Queries } from '../../platform/postgres.ts';
import { empty, sql } from '../../platform/sql.ts';
import {
  assertMayTouch,
  countDependents,
  dependentsOf,
  type Caller,
} from './contact-dependents.ts';

export type Contact = RowOf<typeof contacts>;

/** How many rows come to the winner; links it has already, and campaigns it is in already, are not counted. */
export type MergeMoves = {
  readonly chats: number;
  readonly leads: number;
  readonly interactions: number;
  readonly tags: number;
  readonly identities: number;
  readonly campaign_recipients: number;
};

export type MergePlan = {
  readonly winner: Contact;
  /** In the order in which they were named. */
  readonly losers: readonly Contact[];
  /** The contact as it will be. */
  readonly merged: Contact;
  readonly moves: MergeMoves;
};

export type Merging = Caller & {
  /** The contact that stays. */
  readonly id: number;
  /** The contacts that go, none of them twice. */
  readonly contactIds: readonly number[];
};

const COLUMNS = publishedColumns(contacts);
const writeContact = compileRowWriter(contacts, COLUMNS);

/**
 * What a merge will do, and whether this caller may. `isLocked`: the contacts are held against everybody else until
 * the transaction ends, in the order of their ids, so that two merges of the same people do not wait for each other.
 * @throws ClarinError not_found, forbidden, unprocessable.
 */
export async function planMerge(
  db: Queries,
  merging: Merging,
  { isLocked, signal }: { isLocked: boolean; signal?: AbortSignal },
): Promise<MergePlan> {
  const { accountId, id, contactIds } = merging;
  if (contactIds.includes(id))
    throw new ClarinError('unprocessable', 'a contact cannot be merged into itself');
  const rows = await db.query(
    sql`
      select ${selectColumns(contacts, 'contact')}
      from public.contacts as contact
      where ${inReach(contacts, 'contact', { accountId })} and contact.id = any(${[id, ...contactIds]}::bigint[])
      order by contact.id
      ${isLocked ? sql`for update` : empty}`,
    { signal },
  );
  const found = new Map(
    rows.map((row) => [
      Number(row['id']),
      JSON.parse(writeContact(COLUMNS.map((name) => row[name]))) as Contact,
    ]),
  );
  const winner = found.get(id);
  const losers = contactIds.flatMap((one) => found.get(one) ?? []);
  if (!winner || losers.length < contactIds.length) {
    const missing = [id, ...contactIds].filter((one) => !found.has(one));
    throw new ClarinError('not_found', 'there is no such contact', { details: { ids: missing } });
  }
  if (losers.some(({ is_group }) => is_group !== winner.is_group))
    throw new ClarinError('unprocessable', 'a group and a person cannot be one contact');
  const moves = await countMoves(db, merging, signal);
  return { winner, losers, merged: mergeContactRows(winner, losers), moves };
}

async function countMoves(
  db: Queries,
  merging: Merging,
  signal: AbortSignal | undefined,
): Promise<MergeMoves> {
  const { accountId, id, contactIds } = merging;
  const ids = sql`any(${[...contactIds]}::bigint[])`;
  const [row] = await db.query(
    sql`
      select ${countDependents(merging, contactIds)},
        (
          select count(*) from public.interactions where account_id = ${accountId} and contact_id = ${ids}
        ) as interactions,
        (
          select count(distinct tag_id)
          from public.contact_tags
          where account_id = ${accountId} and contact_id = ${ids} and tag_id not in (
            select tag_id from public.contact_tags where account_id = ${accountId} and contact_id = ${id}
          )
        ) as tags,
        (
          select count(*) from public.contact_identities where account_id = ${accountId} and contact_id = ${ids}
        ) as identities,
        (
          select count(distinct campaign_id)
          from public.campaign_recipients
          where account_id = ${accountId} and contact_id = ${ids} and campaign_id not in (
            select campaign_id from public.campaign_recipients
            where account_id = ${accountId} and contact_id = ${id}
          )
        ) as recipients`,
    { signal },
  );
  const dependents = dependentsOf(row);
  assertMayTouch(merging, dependents);
  return {
    chats: dependents.chats,
    leads: dependents.leads,
    interactions: Number(row?.['interactions'] ?? 0),
    tags: Number(row?.['tags'] ?? 0),
    identities: Number(row?.['identities'] ?? 0),
    campaign_recipients: Number(row?.['recipients'] ?? 0),
  };
}
