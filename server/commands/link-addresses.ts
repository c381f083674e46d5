import type { Queries } from '../../platform/postgres.ts';
import { sql } from '../../platform/sql.ts';
import { chatJids, contactsWith, identitiesOf, readAddresses } from './addresses.ts';
import { mergeChats } from './merge-chats.ts';
import { lockIdentities, resolveContact } from './resolve-contact.ts';

/** A number, and the LID that WhatsApp says is the same person's. */
export type LinkedAddresses = { readonly jid: string; readonly lid: string };

/** What became of it. `unknown`: neither is anybody's here, and nothing is to be done. `known`: nothing was written. */
export type Linking = 'unknown' | 'known' | 'linked';

/** Pairs looked at by one statement. */
const PAIRS_MAX = 1_000;

/**
 * A LID is known to be a number's: both resolve to one contact from now on, and where each had a chat on a device, the
 * two become one (see mergeChats). A contact of whom only the LID was known is merged into the one with the number; one
 * that has another number too stays who it is. One statement when it is known already, which then writes nothing.
 *
 * To be called before anything else that locks rows, in a transaction of its own at best.
 * @throws ClarinError unprocessable for what is no number's address or no LID, conflict.
 */
export async function linkAddresses(
  tx: Queries,
  { accountId, jid, lid }: { accountId: number } & LinkedAddresses,
): Promise<Linking> {
  const [wanted] = await unlinkedAddresses(tx, accountId, [{ jid, lid }]);
  if (wanted === undefined)
    return (await isAnybody(tx, accountId, { jid, lid })) ? 'known' : 'unknown';
  const jids = chatJids(readAddresses({ jid, lid }));
  await lockPeople(tx, { accountId, jid, lid }, jids);
  const contact = await resolveContact(tx, { accountId, jid, lid, source: 'whatsapp' });
  const groups = await tx.query(sql`
    select array_to_string(array_agg(id order by id), ',') as ids
    from public.chats
    where account_id = ${accountId} and contact_id = ${contact.id} and device_id is not null
      and jid = any(${jids}::text[])
    group by device_id
    having count(*) > 1
    order by min(id)`);
  for (const group of groups) {
    const chatIds = (group['ids'] ?? '').split(',').map(Number);
    await mergeChats(tx, { accountId, chatIds, jids });
  }
  return 'linked';
}

/**
 * Identities, contacts and chats, in the order in which everybody takes them, and as strongly as they will be needed: a
 * chat that goes is not held more weakly first, or whoever writes a message to it would wait for us, and we for them.
 */
async function lockPeople(
  tx: Queries,
  { accountId, jid, lid }: { accountId: number } & LinkedAddresses,
  jids: readonly string[],
): Promise<void> {
  const addresses = readAddresses({ jid, lid });
  await lockIdentities(tx, accountId, identitiesOf(addresses));
  const contacts = await tx.query(sql`
    select contact.id
    from public.contacts as contact
    where contact.account_id = ${accountId} and contact.id in (
      ${contactsWith(accountId, addresses)}
    )
    order by contact.id
    for update`);
  await tx.query(sql`
    select id
    from public.chats
    where account_id = ${accountId} and contact_id = any(${contacts.map((row) => Number(row['id']))}::bigint[])
      and device_id is not null and jid = any(${[...jids]}::text[])
    order by id
    for update`);
}

/**
 * Those of the pairs of which something is still to be written: one of the two is somebody's here, and the other is
 * nobody's, or somebody else's who may be merged, or has a chat of its own. One statement for a thousand pairs.
 */
export async function unlinkedAddresses(
  db: Queries,
  accountId: number,
  pairs: readonly LinkedAddresses[],
): Promise<LinkedAddresses[]> {
  const unlinked: LinkedAddresses[] = [];
  for (let from = 0; from < pairs.length; from += PAIRS_MAX)
    unlinked.push(...(await lookAt(db, accountId, pairs.slice(from, from + PAIRS_MAX))));
  return unlinked;
}

async function lookAt(
  db: Queries,
  accountId: number,
  pairs: readonly LinkedAddresses[],
): Promise<LinkedAddresses[]> {
  const given = pairs.map((pair) => ({ pair, addresses: readAddresses(pair) }));
  const identities = given.flatMap(({ addresses }, place) =>
    identitiesOf(addresses).map((identity) => ({ ...identity, place })),
  );
  const jids = given.flatMap(({ addresses }, place) =>
    chatJids(addresses).map((jid) => ({ jid, place })),
  );
  const rows = await db.query(sql`
    with owner as (
      select given.place, given.kind, identity.contact_id,
        given.kind = 'lid' and not exists (
          select from public.contact_identities as any_of
          where any_of.account_id = ${accountId} and any_of.contact_id = identity.contact_id
            and any_of.kind <> 'lid'
        ) as is_lid_only
      from unnest(
        ${identities.map(({ place }) => place)}::integer[], ${identities.map(({ kind }) => kind)}::text[],
        ${identities.map(({ value }) => value)}::text[]
      ) as given (place, kind, value)
      join public.contact_identities as identity
        on identity.account_id = ${accountId} and identity.kind = given.kind and identity.value = given.value
    ), doubled as (
      select given.place
      from unnest(
        ${jids.map(({ place }) => place)}::integer[], ${jids.map(({ jid }) => jid)}::text[]
      ) as given (place, jid)
      join public.chats as chat
        on chat.account_id = ${accountId} and chat.jid = given.jid and chat.device_id is not null
      group by given.place, chat.device_id, chat.contact_id
      having count(*) > 1
    )
    select owner.place
    from owner
    group by owner.place
    having count(*) filter (where owner.kind = 'jid') = 0
      or count(*) filter (where owner.kind = 'lid') = 0
      or (bool_or(owner.is_lid_only) and count(distinct owner.contact_id) > 1)
      or owner.place in (select place from doubled)
    order by owner.place`);
  return rows.flatMap((row) => given[Number(row['place'])]?.pair ?? []);
}

async function isAnybody(db: Queries, accountId: number, pair: LinkedAddresses): Promise<boolean> {
  const rows = await db.query(sql`
    ${contactsWith(accountId, readAddresses(pair))}
    limit 1`);
  return rows.length > 0;
}
