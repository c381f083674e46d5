import { ClarinError } from '../../domain/errors.ts';
import type { Queries, TextRow } from '../../platform/postgres.ts';
import { sql } from '../../platform/sql.ts';
import type { KommoLead } from '../kommo/documents.ts';
import { newestLooks } from '../kommo/map-looks.ts';
import { mapLead, type MappedLead } from '../kommo/map-lead.ts';
import { isOfInterest, planLeads, type StoredLead } from './apply-kommo-lead-plan.ts';
import { readLeadWorld } from './apply-kommo-lead-world.ts';
import { writeLeads } from './apply-kommo-lead-writes.ts';
import {
  ensureTags,
  takeOver,
  takeTurn,
  type Applied,
  type KommoScope,
} from './apply-kommo-looks.ts';
import { buryRows } from './tombstone-kommo.ts';

type Options = {
  /** Kommo's ids of contacts that leads name and Kommo does not show (of a lead that nobody accepted yet): as if there were none. */
  readonly absentContacts?: Iterable<number> | undefined;
};

/**
 * A page of Kommo's leads becomes leads of ours, in the pipelines that are followed. One statement when nothing of it is
 * new, which then writes nothing and locks nothing; a dozen otherwise, however many rows there are. Older looks than the
 * one that was written change nothing.
 *
 * A lead whose stage is not known (yet) stays where it is, or begins in the first stage of its pipeline, until
 * applyKommoPipelines has brought the stage: then it is to be fetched again (private.kommo_hints).
 * @throws ClarinError `internal`, naming them, when leads that are followed are of contacts that are not known: whoever
 * calls has them applied before (missingKommoContacts). Nothing else that a document may say is refused.
 */
export async function applyKommoLeads(
  tx: Queries,
  scope: KommoScope,
  leads: readonly KommoLead[],
  { absentContacts = [] }: Options = {},
): Promise<Applied> {
  const newest = newestLooks(leads);
  const { world, known, knownTags } = await readLeadWorld(
    tx,
    scope,
    newest,
    new Set(absentContacts),
  );
  const looks = newest
    .map((lead) => mapLead(lead, world))
    .filter((look) => isOfInterest(look, known.get(look.id)));
  if (looks.length === 0) return { changed: 0, unchanged: leads.length };
  await takeTurn(tx, scope);
  await takeOver(tx, scope, 'lead', known);
  const contacts = await holdContacts(tx, scope, looks);
  const { targets, tombstones } = planLeads(looks, await readStored(tx, scope, looks), contacts);
  if (targets.length > 0) {
    const tags = targets.flatMap(({ look }) => (look.isAway ? [] : look.tags));
    const unknown = new Map(tags.map((tag) => [tag.id, tag]));
    for (const id of knownTags) unknown.delete(id);
    await ensureTags(tx, scope, 'lead', [...unknown.values()]);
    await writeLeads(tx, scope, targets);
  }
  const buried = await buryRows(
    tx,
    scope,
    'lead',
    tombstones.map(({ id, updatedAt }) => ({ id, at: updatedAt })),
  );
  const changed = targets.length + buried;
  return { changed, unchanged: leads.length - changed };
}

/**
 * Ours by Kommo's ids, held before the leads are: whoever deletes or merges a contact comes to them in that order.
 * @throws ClarinError internal.
 */
async function holdContacts(
  tx: Queries,
  { accountId, connectionId }: KommoScope,
  looks: readonly MappedLead[],
): Promise<Map<number, number>> {
  const wanted = new Set(
    looks.flatMap((look) => (look.isAway || look.isDeleted ? [] : (look.contactId ?? []))),
  );
  const rows = await tx.query(sql`
    with named as materialized (
      select known.id, given.value as kommo_id
      from unnest(${[...wanted].map(String)}::text[]) as given (value)
      -- Each looked up by itself, so that no plan reads the account.
      cross join lateral (
        select identity.contact_id as id
        from public.contact_identities as identity
        where identity.account_id = ${accountId} and identity.kind = 'kommo' and identity.value = given.value
        limit 1
      ) as known
      union all
      select known.placeholder_id, null
      from private.kommo_leads as known
      where known.connection_id = ${connectionId} and known.kommo_id = any(${looks.map(({ id }) => id)}::bigint[])
        and known.placeholder_id is not null
    )
    select held.id, named.kommo_id
    from (select id, kommo_id from named order by id) as named
    cross join lateral (
      select contact.id
      from public.contacts as contact
      where contact.account_id = ${accountId} and contact.id = named.id
      limit 1
      for key share of contact
    ) as held`);
  const contacts = new Map(
    rows.flatMap((row) => (row['kommo_id'] ? [[Number(row['kommo_id']), Number(row['id'])]] : [])),
  );
  const missing = [...wanted].filter((id) => !contacts.has(id));
  if (missing.length === 0) return contacts;
  throw new ClarinError(
    'internal',
    `leads are of contacts of Kommo that are not known: ${missing.join(', ')}`,
    { details: { ids: missing } },
  );
}

/** Held until the transaction ends, in the order of their ids; each looked up by itself, so that no plan reads the account. */
async function readStored(
  tx: Queries,
  { accountId, connectionId }: KommoScope,
  looks: readonly MappedLead[],
): Promise<StoredLead[]> {
  const rows = await tx.query(sql`
    with found as materialized (
      select lead.id
      from unnest(${looks.map(({ id }) => id)}::bigint[]) as wanted (id)
      cross join lateral (
        select lead.id
        from public.leads as lead
        where lead.account_id = ${accountId} and lead.kommo_id = wanted.id
        limit 1
      ) as lead
    )
    select lead.id, lead.kommo_id, lead.contact_id, lead.title, lead.value, lead.currency, lead.pipeline_id,
      (
        select pipeline.kommo_id
        from public.pipelines as pipeline
        where pipeline.account_id = ${accountId} and pipeline.id = lead.pipeline_id
        limit 1
      ) as kommo_pipeline_id,
      (
        select not listed.is_connected
        from public.kommo_pipelines as listed
        where listed.account_id = ${accountId} and listed.connection_id = ${connectionId}
          and listed.pipeline_id = lead.pipeline_id
        limit 1
      ) as is_unfollowed,
      lead.stage_id, lead.assigned_to, lead.close_reason, lead.closed_at, lead.archived_at is not null as is_archived,
      encode(known.hash, 'hex') as hash, known.source_updated_at, known.assigned_to as was_assigned_to,
      extract(epoch from known.deleted_at)::bigint as deleted_at, known.is_away,
      known.archived_at is not null and known.archived_at = lead.archived_at as is_archived_by_us,
      known.trashed_at is not null and known.trashed_at = lead.deleted_at as is_trashed_by_us,
      to_json(known.given) as given, known.placeholder_id,
      (
        select placeholder.name
        from public.contacts as placeholder
        where placeholder.account_id = ${accountId} and placeholder.id = known.placeholder_id
        limit 1
      ) as placeholder_name,
      (
        select true
        from private.kommo_leads as theirs
        join public.kommo_connections as keeper on keeper.id = theirs.connection_id
        where theirs.lead_id = lead.id and theirs.connection_id <> ${connectionId}
          and keeper.status <> 'disconnected'
        limit 1
      ) as is_others
    from (select id from found order by id) as found
    cross join lateral (
      select lead.id, lead.kommo_id, lead.contact_id, lead.title, lead.value, lead.currency, lead.pipeline_id,
        lead.stage_id, lead.assigned_to, lead.close_reason, lead.closed_at, lead.archived_at, lead.deleted_at
      from public.leads as lead
      where lead.account_id = ${accountId} and lead.id = found.id
      limit 1
      for no key update of lead
    ) as lead
    left join lateral (
      select known.hash, known.source_updated_at, known.assigned_to, known.deleted_at, known.is_away,
        known.archived_at, known.trashed_at, known.given, known.placeholder_id
      from private.kommo_leads as known
      where known.connection_id = ${connectionId} and known.kommo_id = lead.kommo_id
      limit 1
    ) as known on true`);
  return rows.map(readLead);
}

const numberOf = (text: string | null | undefined): number | null => (text ? Number(text) : null);

function readLead(row: TextRow): StoredLead {
  return {
    id: Number(row['id']),
    kommoId: Number(row['kommo_id']),
    contactId: Number(row['contact_id']),
    title: row['title'] ?? '',
    value: row['value'] ?? '',
    currency: row['currency'] ?? '',
    pipelineId: Number(row['pipeline_id']),
    kommoPipelineId: numberOf(row['kommo_pipeline_id']),
    isUnfollowed: row['is_unfollowed'] === 't',
    stageId: Number(row['stage_id']),
    assignedTo: numberOf(row['assigned_to']),
    closeReason: row['close_reason'] ?? null,
    closedAt: row['closed_at'] ?? null,
    isArchived: row['is_archived'] === 't',
    isOthers: row['is_others'] === 't',
    look: row['hash']
      ? {
          id: Number(row['kommo_id']),
          hash: row['hash'],
          updatedAt: Number(row['source_updated_at']),
          deletedAt: numberOf(row['deleted_at']),
          keeper: 'us',
          given: JSON.parse(row['given'] ?? '[]') as string[],
          assignedTo: numberOf(row['was_assigned_to']),
          isAway: row['is_away'] === 't',
          isArchivedByUs: row['is_archived_by_us'] === 't',
          isTrashedByUs: row['is_trashed_by_us'] === 't',
          placeholderId: numberOf(row['placeholder_id']),
          placeholderName: row['placeholder_name'] ?? null,
        }
      : undefined,
  };
}
