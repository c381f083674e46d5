import type { Queries, TextRow } from '../../platform/postgres.ts';
import { ident, join, sql } from '../../platform/sql.ts';
import { nameOf, type LeadTarget } from './apply-kommo-lead-plan.ts';
import { settleLinks } from './apply-kommo-links.ts';
import { planAnew, type KommoScope } from './apply-kommo-looks.ts';

const SOURCE = 'kommo';
/** Of leads whose account has not said its own. */
const CURRENCY = 'USD';

type Placed = LeadTarget & { readonly contactId: number };

/** Targets become rows: contacts of their own first, then what differs of the known leads, the new ones, tags, looks. */
export async function writeLeads(
  tx: Queries,
  scope: KommoScope,
  targets: readonly LeadTarget[],
): Promise<void> {
  const made = targets.filter(({ lead }) => !lead);
  await planAnew(tx, made.length);
  const placeholders = await insertPlaceholders(
    tx,
    scope,
    targets.filter(({ contact }) => contact.kind === 'placeholder'),
  );
  const placed = targets.map((target) => ({
    ...target,
    contactId:
      target.contact.kind === 'known' ? target.contact.id : (placeholders.get(target.look.id) ?? 0),
  }));
  await renamePlaceholders(tx, scope, targets);
  await updateLeads(tx, scope, placed);
  const ids = await insertLeads(tx, scope, placed);
  await writeLooks(tx, scope, placed, ids);
  await removePlaceholders(tx, scope, targets);
}

/** Ids of the contacts that are made, by Kommo's ids of their leads. */
async function insertPlaceholders(
  tx: Queries,
  { accountId }: KommoScope,
  targets: readonly LeadTarget[],
): Promise<Map<number, number>> {
  if (targets.length === 0) return new Map();
  const rows = await tx.query(sql`
    insert into public.contacts (account_id, name, source, created_at)
    select ${accountId}::bigint, given.name, ${SOURCE}, given.created_at
    from unnest(${targets.map(({ values }) => nameOf(values.title))}::text[],
      ${targets.map(createdAtOf)}::timestamptz[]) with ordinality as given (name, created_at, place)
    order by given.place
    returning id`);
  // Numbered in their order, whatever the order in which they are returned.
  const numbers = rows.map((row) => Number(row['id'])).toSorted((one, other) => one - other);
  return new Map(targets.map(({ look }, index) => [look.id, numbers[index] ?? 0]));
}

function createdAtOf({ look }: LeadTarget): string | null {
  return look.isAway ? null : look.createdAt;
}

async function renamePlaceholders(
  tx: Queries,
  { accountId }: KommoScope,
  targets: readonly LeadTarget[],
): Promise<void> {
  const renamed = targets.flatMap(({ renamedId, values }) =>
    renamedId === undefined ? [] : [{ id: renamedId, name: nameOf(values.title) }],
  );
  if (renamed.length === 0) return;
  await tx.query(sql`
    update public.contacts as contact
    set name = given.name
    from unnest(${renamed.map(({ id }) => id)}::bigint[], ${renamed.map(({ name }) => name)}::text[])
      as given (id, name)
    where contact.account_id = ${accountId} and contact.id = given.id and contact.name is distinct from given.name`);
}

async function updateLeads(
  tx: Queries,
  { accountId }: KommoScope,
  placed: readonly Placed[],
): Promise<void> {
  const rows = placed.flatMap(({ lead, values, contactId, archive, isUntrashed }) =>
    lead
      ? [{ ...values, id: lead.id, contact_id: contactId, archive, is_untrashed: isUntrashed }]
      : [],
  );
  if (rows.length === 0) return;
  const currency = sql`coalesce(given.currency, lead.currency)`;
  const fields = sql`clarin.take_fields(lead.custom_fields, given.gone_fields, given.custom_fields)`;
  const archivedAt = sql`case given.archive
    when 'in' then coalesce(lead.archived_at, now()) when 'out' then null else lead.archived_at end`;
  const deletedAt = sql`case when given.is_untrashed then null else lead.deleted_at end`;
  const written = await tx.query(sql`
    update public.leads as lead
    set contact_id = given.contact_id, title = given.title, value = given.value, currency = ${currency},
      stage_id = given.stage_id, assigned_to = given.assigned_to, close_reason = given.close_reason,
      closed_at = given.closed_at,
      custom_fields = case when lead.custom_fields = ${fields} then lead.custom_fields else ${fields} end,
      archived_at = ${archivedAt}, deleted_at = ${deletedAt}, kommo_deleted_at = null
    from jsonb_to_recordset(${JSON.stringify(rows)}::jsonb) as given (
      id bigint, contact_id bigint, title text, value numeric, currency text, stage_id bigint, assigned_to bigint,
      close_reason text, closed_at timestamptz, custom_fields jsonb, gone_fields text[], archive text,
      is_untrashed boolean
    )
    -- Each looked up by itself, so that no plan reads the account; they are held, so that they are still in their place.
    cross join lateral (
      select stored.ctid as place
      from public.leads as stored
      where stored.account_id = ${accountId} and stored.id = given.id
      limit 1
    ) as held
    where lead.ctid = held.place and lead.account_id = ${accountId}
      and (lead.contact_id, lead.title, lead.value, lead.currency, lead.stage_id, lead.assigned_to,
          lead.close_reason, lead.closed_at, lead.custom_fields, lead.archived_at, lead.deleted_at,
          lead.kommo_deleted_at)
        is distinct from (given.contact_id, given.title, given.value, ${currency}, given.stage_id,
          given.assigned_to, given.close_reason, given.closed_at, ${fields}, ${archivedAt}, ${deletedAt},
          null::timestamptz)
    returning lead.id, given.closed_at, lead.closed_at <> given.closed_at as is_off`);
  await closeAgain(
    tx,
    accountId,
    written.filter((row) => row['is_off'] === 't'),
  );
}

/**
 * A lead that goes from won to lost, or back, at the very second it was closed before: the database takes that for not
 * said, and the time is now.
 */
async function closeAgain(tx: Queries, accountId: number, rows: readonly TextRow[]): Promise<void> {
  if (rows.length === 0) return;
  await tx.query(sql`
    update public.leads as lead
    set closed_at = given.closed_at
    from unnest(${rows.map((row) => row['id'])}::bigint[], ${rows.map((row) => row['closed_at'])}::timestamptz[])
      as given (id, closed_at)
    where lead.account_id = ${accountId} and lead.id = given.id`);
}

/** Ids of the new leads by Kommo's. */
async function insertLeads(
  tx: Queries,
  { accountId }: KommoScope,
  placed: readonly Placed[],
): Promise<Map<number, number>> {
  const given = placed
    .filter(({ lead }) => !lead)
    .map((target, at) => ({
      ...target.values,
      at,
      kommo_id: target.look.id,
      contact_id: target.contactId,
      created_at: createdAtOf(target),
    }));
  if (given.length === 0) return new Map();
  const rows = await tx.query(sql`
    insert into public.leads (
      account_id, kommo_id, contact_id, title, value, currency, stage_id, assigned_to, close_reason, closed_at,
      custom_fields, source, created_at
    )
    select ${accountId}::bigint, given.kommo_id, given.contact_id, given.title, given.value,
      coalesce(given.currency, ${CURRENCY}), given.stage_id, given.assigned_to, given.close_reason, given.closed_at,
      given.custom_fields, ${SOURCE}, given.created_at
    from jsonb_to_recordset(${JSON.stringify(given)}::jsonb) as given (
      at integer, kommo_id bigint, contact_id bigint, title text, value numeric, currency text, stage_id bigint,
      assigned_to bigint, close_reason text, closed_at timestamptz, custom_fields jsonb, created_at timestamptz
    )
    order by given.at
    returning id, kommo_id`);
  return new Map(rows.map((row) => [Number(row['kommo_id']), Number(row['id'])]));
}

async function writeLooks(
  tx: Queries,
  scope: KommoScope,
  placed: readonly Placed[],
  ids: ReadonlyMap<number, number>,
): Promise<void> {
  const rows = placed.map(({ look, lead, archive, note, contactId }) => ({
    kommo_id: look.id,
    row_id: lead?.id ?? ids.get(look.id) ?? 0,
    hash: look.hash,
    updated_at: look.updatedAt,
    given: note.given,
    tags: look.isAway ? null : look.tags.map(({ id }) => id),
    assigned_to: note.assignedTo,
    is_away: note.isAway,
    archived: archive === 'in' && lead?.isArchived === false,
    placeholder_id: note.hasPlaceholder ? (note.placeholderId ?? contactId) : null,
    is_misplaced: note.isMisplaced,
  }));
  await tx.query(sql`
    with given as materialized (
      select given.kommo_id, given.row_id, given.hash, given.updated_at, given.given, given.tags, false as is_added,
        given.assigned_to, given.is_away, given.archived, given.placeholder_id, given.is_misplaced
      from jsonb_to_recordset(${JSON.stringify(rows)}::jsonb) as given (
        kommo_id bigint, row_id bigint, hash text, updated_at bigint, given text[], tags bigint[],
        assigned_to bigint, is_away boolean, archived boolean, placeholder_id bigint, is_misplaced boolean
      )
    ),
    ${settleLinks(scope, 'lead')}
    insert into private.kommo_leads as known (
      connection_id, kommo_id, account_id, lead_id, hash, source_updated_at, given, assigned_to, is_away,
      archived_at, placeholder_id, is_misplaced
    )
    select ${scope.connectionId}::bigint, given.kommo_id, ${scope.accountId}::bigint, given.row_id,
      decode(given.hash, 'hex'), given.updated_at, given.given, given.assigned_to, given.is_away,
      case when given.archived then now() end, given.placeholder_id, given.is_misplaced
    from given
    order by given.kommo_id
    on conflict (connection_id, kommo_id) do update
      set lead_id = excluded.lead_id, hash = excluded.hash, source_updated_at = excluded.source_updated_at,
        given = excluded.given, assigned_to = excluded.assigned_to, is_away = excluded.is_away,
        archived_at = case when excluded.is_away then coalesce(excluded.archived_at, known.archived_at) end,
        placeholder_id = excluded.placeholder_id, is_misplaced = excluded.is_misplaced,
        deleted_at = null, trashed_at = null`);
}

/** Of leads that have a contact by now; those on whom something hangs, or who were given an address or a note, stay. */
async function removePlaceholders(
  tx: Queries,
  { accountId }: KommoScope,
  targets: readonly LeadTarget[],
): Promise<void> {
  const left = targets.flatMap(({ leftId }) => leftId ?? []);
  if (left.length === 0) return;
  const hanging = (
    [
      'leads',
      'chats',
      'interactions',
      'campaign_recipients',
      'contact_identities',
      'contact_tags',
    ] as const
  ).map(
    (table) => sql`not exists (
      select from public.${ident(table)} as hanging
      where hanging.account_id = ${accountId} and hanging.contact_id = contact.id
    )`,
  );
  await tx.query(sql`
    delete from public.contacts as contact
    where contact.account_id = ${accountId} and contact.id = any(${left}::bigint[]) and contact.source = ${SOURCE}
      and contact.kommo_id is null and contact.notes is null and contact.custom_name is null
      and contact.email is null and not contact.do_not_contact and contact.custom_fields = '{}'
      and ${join(hanging, ' and ')}`);
}
