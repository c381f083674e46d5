import type { Queries } from '../../platform/postgres.ts';
import { ident, sql } from '../../platform/sql.ts';
import type { KommoLead } from '../kommo/documents.ts';
import { mainContactOf } from '../kommo/map-lead.ts';
import { PLACES, type KommoEntity, type KommoScope } from './apply-kommo-looks.ts';

/**
 * Kommo's ids of the contacts that these leads are of and that we do not know, in the order of the leads, each once: to
 * be applied before the leads are. Leads of pipelines that are not followed need none.
 */
export async function missingKommoContacts(
  db: Queries,
  { accountId, connectionId }: KommoScope,
  leads: readonly KommoLead[],
): Promise<readonly number[]> {
  const named = leads.flatMap((lead) => {
    const id = lead.is_deleted ? undefined : mainContactOf(lead);
    return id === undefined ? [] : [{ id, pipelineId: lead.pipeline_id }];
  });
  if (named.length === 0) return [];
  const rows = await db.query(sql`
    select given.id
    from unnest(${named.map(({ id }) => id)}::bigint[], ${named.map(({ pipelineId }) => pipelineId)}::bigint[])
      with ordinality as given (id, pipeline_id, place)
    join public.kommo_pipelines as followed
      on followed.account_id = ${accountId} and followed.connection_id = ${connectionId}
      and followed.kommo_id = given.pipeline_id and followed.is_connected and followed.pipeline_id is not null
    -- Each looked up by itself, so that no plan reads the account.
    left join lateral (
      select identity.id
      from public.contact_identities as identity
      where identity.account_id = ${accountId} and identity.kind = 'kommo' and identity.value = given.id::text
      limit 1
    ) as known on true
    where known.id is null
    group by given.id
    order by min(given.place)`);
  return rows.map((row) => Number(row['id']));
}

type Listing = {
  readonly entity: KommoEntity;
  /** The last one of the list before; 0 to begin. */
  readonly afterId: number;
  readonly limit: number;
};

/** Kommo's ids of what this connection has written and, as far as we know, is still there; in their order. */
export async function listKnownKommoIds(
  db: Queries,
  { accountId, connectionId }: KommoScope,
  { entity, afterId, limit }: Listing,
): Promise<readonly number[]> {
  const rows = await db.query(sql`
    select known.kommo_id
    from private.${ident(PLACES[entity].looks)} as known
    where known.connection_id = ${connectionId} and known.account_id = ${accountId}
      and known.kommo_id > ${afterId} and known.deleted_at is null
    order by known.kommo_id
    limit ${limit}`);
  return rows.map((row) => Number(row['kommo_id']));
}
