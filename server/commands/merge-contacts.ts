import { contacts } from '../../domain/entities/contacts.ts';
import { ClarinError } from '../../domain/errors.ts';
import { mergedValues } from '../../domain/merged-contact.ts';
import type { Written } from '../../platform/entity-sql.ts';
import type { Queries } from '../../platform/postgres.ts';
import { ident, sql } from '../../platform/sql.ts';
import { planMerge, type Merging } from './merge-plan.ts';
import { updateRow } from './update-row.ts';

/** Contacts that one merge takes in. */
export const MERGED_MAX = 20;

type Options = Merging & { readonly ifMatch?: string | undefined };
type Moving = { readonly accountId: number; readonly id: number; readonly losers: number[] };

/**
 * Contacts become one: chats, leads, interactions, tags, the names devices have for them, places in campaigns and
 * every address that resolved to one of them are the winner's; then the others go. Two chats stay two. What is left
 * of their values says domain/merged-contact.ts. Gives the winner.
 * @throws ClarinError not_found, forbidden, unprocessable, precondition_failed.
 */
export async function mergeContacts(tx: Queries, options: Options): Promise<Written> {
  const { accountId, id, ifMatch } = options;
  const { winner, merged } = await planMerge(tx, options, { isLocked: true });
  if (ifMatch !== undefined && ifMatch !== winner.updated_at)
    throw new ClarinError(
      'precondition_failed',
      'the row has changed since the version in If-Match',
    );
  const moving = { accountId, id, losers: [...options.contactIds] };
  for (const table of ['chats', 'leads', 'interactions', 'contact_identities'] as const)
    await moveRows(tx, table, moving);
  await joinTags(tx, moving);
  await joinDeviceNames(tx, moving);
  await joinRecipients(tx, moving);
  // Addresses are the winner's by now, so the losers' end takes none with it; and only now are jid and kommo_id free.
  await tx.query(sql`
    delete from public.contacts where account_id = ${accountId} and id = any(${moving.losers}::bigint[])`);
  const written = await updateRow(tx, {
    entity: contacts,
    accountId,
    id,
    values: mergedValues(merged),
  });
  if (!written) throw new ClarinError('internal', 'the contact merged into is gone');
  return written;
}

/** Held as strongly as they will be: whose an identity is, is part of its key. */
async function moveRows(
  tx: Queries,
  table: 'chats' | 'leads' | 'interactions' | 'contact_identities',
  { accountId, id, losers }: Moving,
): Promise<void> {
  await tx.query(sql`
    with target as materialized (
      select moved.id
      from public.${ident(table)} as moved
      where moved.account_id = ${accountId} and moved.contact_id = any(${losers}::bigint[])
      order by moved.id
      ${table === 'contact_identities' ? sql`for update` : sql`for no key update`}
    )
    update public.${ident(table)} as moved
    set contact_id = ${id}
    from target
    where moved.account_id = ${accountId} and moved.id = target.id`);
}

/** The losers' own links go with them. */
async function joinTags(tx: Queries, { accountId, id, losers }: Moving): Promise<void> {
  await tx.query(sql`
    insert into public.contact_tags (account_id, contact_id, tag_id)
    select distinct ${accountId}::bigint, ${id}::bigint, tag_id
    from public.contact_tags
    where account_id = ${accountId} and contact_id = any(${losers}::bigint[])
    order by tag_id
    on conflict (account_id, contact_id, tag_id) do nothing`);
}

/** What a device calls the winner stays; where it has no name for it, the first of the others' is taken. */
async function joinDeviceNames(tx: Queries, { accountId, id, losers }: Moving): Promise<void> {
  await tx.query(sql`
    insert into public.contact_device_names as known (account_id, contact_id, device_id, name)
    select distinct on (other.device_id) ${accountId}::bigint, ${id}::bigint, other.device_id, other.name
    from public.contact_device_names as other
    join unnest(${losers}::bigint[]) with ordinality as loser (id, place) on loser.id = other.contact_id
    where other.account_id = ${accountId}
    order by other.device_id, (other.name is null), loser.place
    on conflict (account_id, contact_id, device_id) do update
    set name = excluded.name
    where known.name is null and excluded.name is not null`);
}

/**
 * Of several places in one campaign the one that is furthest stays, so that nobody is written to twice: who was sent
 * it under one address is not waiting for it under another.
 */
async function joinRecipients(tx: Queries, { accountId, id, losers }: Moving): Promise<void> {
  const rows = await tx.query(sql`
    select recipient.id
    from public.campaign_recipients as recipient
    where recipient.account_id = ${accountId} and recipient.contact_id = any(${[id, ...losers]}::bigint[])
    order by recipient.id
    for update`);
  if (rows.length === 0) return;
  const kept = await tx.query(sql`
    select distinct on (recipient.campaign_id) recipient.id
    from public.campaign_recipients as recipient
    where recipient.account_id = ${accountId} and recipient.contact_id = any(${[id, ...losers]}::bigint[])
    order by recipient.campaign_id,
      array_position('{read,delivered,sent,claimed,pending,failed,skipped}'::text[], recipient.status),
      (recipient.contact_id <> ${id}), recipient.id`);
  const keptIds = kept.map((row) => Number(row['id']));
  await tx.query(sql`
    delete from public.campaign_recipients
    where account_id = ${accountId} and contact_id = any(${[id, ...losers]}::bigint[])
      and id <> all(${keptIds}::bigint[])`);
  await tx.query(sql`
    update public.campaign_recipients
    set contact_id = ${id}
    where account_id = ${accountId} and id = any(${keptIds}::bigint[]) and contact_id <> ${id}`);
}
