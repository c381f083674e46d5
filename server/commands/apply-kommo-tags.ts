import type { Queries } from '../../platform/postgres.ts';
import { ident, sql } from '../../platform/sql.ts';
import type { KommoTag } from '../kommo/documents.ts';
import { mapTags, type MappedTag } from '../kommo/map-tags.ts';
import {
  ensureTags,
  PLACES,
  takeTurn,
  type KommoEntity,
  type KommoScope,
} from './apply-kommo-looks.ts';

type StoredTag = {
  readonly kommoId: number;
  /** What Kommo called it when it was last asked. */
  readonly kommoName: string;
  readonly tagId: number;
  readonly name: string;
  /** Nothing else of Kommo's stands for the same tag of ours: tags of leads and of contacts have ids of their own. */
  readonly isAlone: boolean;
  /** Nor does anything else of the same kind, so that all links to it are this one's. */
  readonly isAloneInKind: boolean;
  /** The tag of ours that has the new name already, whatever its case. */
  readonly namesakeId: number | null;
};

/**
 * All tags that Kommo has for leads, or for contacts. Each is a tag of ours: the one of that name, or a new one, whose
 * colour is Kommo's then and people's from then on, as its name is until Kommo changes it. A tag that is renamed there is
 * renamed here; where another tag of ours has that name, or something else of Kommo's goes by the old one, its links move
 * (of two Kommo tags of one name nobody knows whose a link is: their rows are asked for again). Tags that are gone stay, for
 * people to delete; the rows they are taken off say so themselves.
 *
 * One statement when nothing differs, a few for each tag that is renamed. Gives the number of tags that came or were
 * renamed.
 */
export async function applyKommoTags(
  tx: Queries,
  scope: KommoScope,
  entity: KommoEntity,
  tags: readonly KommoTag[],
): Promise<number> {
  const mapped = mapTags(tags);
  if (mapped.length === 0) return 0;
  const seen = await readTags(tx, scope, entity, mapped);
  if (seen.length === mapped.length && !nextOf(seen, mapped)) return 0;
  await takeTurn(tx, scope);
  const known = new Set((await readTags(tx, scope, entity, mapped)).map(({ kommoId }) => kommoId));
  const made = mapped.filter(({ id }) => !known.has(id));
  await ensureTags(tx, scope, entity, made);
  let changed = made.length;
  // One by one: each may have the name that another one gives up. None comes twice.
  for (let rounds = mapped.length; rounds > 0; rounds--) {
    const next = nextOf(await readTags(tx, scope, entity, mapped), mapped);
    if (!next) break;
    await settleTag(tx, scope, entity, next);
    changed++;
  }
  return changed;
}

type Settling = {
  readonly action: 'note' | 'rename' | 'move';
  readonly stored: StoredTag;
  readonly tag: MappedTag;
};

/** What is to be done first: a name that is given up before it is taken needs no links to be moved. */
function nextOf(stored: readonly StoredTag[], mapped: readonly MappedTag[]): Settling | undefined {
  const tags = new Map(mapped.map((tag) => [tag.id, tag]));
  const all = stored.flatMap((one): Settling[] => {
    const tag = tags.get(one.kommoId);
    const action = tag ? actionOf(one, tag) : 'none';
    return tag && action !== 'none' ? [{ action, stored: one, tag }] : [];
  });
  return all.find(({ action }) => action !== 'move') ?? all[0];
}

/** `note`: ours is called so already, by whoever else goes by it too. */
function actionOf(
  { kommoName, tagId, name, isAlone, namesakeId }: StoredTag,
  wanted: MappedTag,
): 'none' | Settling['action'] {
  if (wanted.name === kommoName) return 'none';
  if (namesakeId === tagId) return isAlone && name !== wanted.name ? 'rename' : 'note';
  return isAlone && namesakeId === null ? 'rename' : 'move';
}

async function readTags(
  tx: Queries,
  { accountId, connectionId }: KommoScope,
  entity: KommoEntity,
  mapped: readonly MappedTag[],
): Promise<StoredTag[]> {
  const rows = await tx.query(sql`
    select mapping.kommo_id, mapping.name as kommo_name, tag.id, tag.name,
      not exists (
        select from private.kommo_tags as other
        where other.tag_id = tag.id
          and (other.connection_id, other.entity, other.kommo_id) <> (mapping.connection_id, mapping.entity, mapping.kommo_id)
      ) as is_alone,
      not exists (
        select from private.kommo_tags as other
        where other.tag_id = tag.id and other.connection_id = mapping.connection_id
          and other.entity = mapping.entity and other.kommo_id <> mapping.kommo_id
      ) as is_alone_in_kind,
      (
        select namesake.id from public.tags as namesake
        where namesake.account_id = ${accountId} and lower(namesake.name) = lower(given.name)
      ) as namesake_id
    from unnest(${mapped.map(({ id }) => id)}::bigint[], ${mapped.map(({ name }) => name)}::text[])
      as given (id, name)
    join private.kommo_tags as mapping
      on mapping.connection_id = ${connectionId} and mapping.entity = ${entity} and mapping.kommo_id = given.id
    join public.tags as tag on tag.account_id = ${accountId} and tag.id = mapping.tag_id
    order by given.id`);
  return rows.map((row) => ({
    kommoId: Number(row['kommo_id']),
    kommoName: row['kommo_name'] ?? '',
    tagId: Number(row['id']),
    name: row['name'] ?? '',
    isAlone: row['is_alone'] === 't',
    isAloneInKind: row['is_alone_in_kind'] === 't',
    namesakeId: row['namesake_id'] ? Number(row['namesake_id']) : null,
  }));
}

async function settleTag(
  tx: Queries,
  scope: KommoScope,
  entity: KommoEntity,
  { action, stored, tag }: Settling,
): Promise<void> {
  const { accountId, connectionId } = scope;
  if (action === 'rename') {
    await tx.query(sql`
      update public.tags set name = ${tag.name} where account_id = ${accountId} and id = ${stored.tagId}`);
  }
  if (action !== 'move') {
    await tx.query(sql`
      update private.kommo_tags set name = ${tag.name}
      where connection_id = ${connectionId} and entity = ${entity} and kommo_id = ${tag.id}`);
    return;
  }
  await tx.query(sql`
    delete from private.kommo_tags
    where connection_id = ${connectionId} and entity = ${entity} and kommo_id = ${tag.id}`);
  await ensureTags(tx, scope, entity, [tag]);
  if (stored.isAloneInKind) await moveLinks(tx, scope, entity, { stored, tag });
  else await askAgain(tx, scope, entity, stored.tagId);
}

/** To the tag of the new name; only those of rows that come from this connection. */
async function moveLinks(
  tx: Queries,
  { accountId, connectionId }: KommoScope,
  entity: KommoEntity,
  { stored, tag }: Pick<Settling, 'stored' | 'tag'>,
): Promise<void> {
  const looks = ident(PLACES[entity].looks);
  const row = ident(PLACES[entity].row);
  const links = ident(PLACES[entity].links);
  await tx.query(sql`
    with moved as (
      delete from public.${links} as link
      where link.account_id = ${accountId} and link.tag_id = ${stored.tagId} and exists (
        select from private.${looks} as known
        where known.connection_id = ${connectionId} and known.${row} = link.${row}
      )
      returning link.${row} as row_id
    )
    insert into public.${links} (account_id, ${row}, tag_id)
    select ${accountId}::bigint, moved.row_id, mapping.tag_id
    from moved
    join private.kommo_tags as mapping
      on mapping.connection_id = ${connectionId} and mapping.entity = ${entity} and mapping.kommo_id = ${tag.id}
    where not exists (
      select from public.${links} as link
      where link.account_id = ${accountId} and link.${row} = moved.row_id and link.tag_id = mapping.tag_id
    )
    order by moved.row_id
    on conflict (account_id, ${row}, tag_id) do nothing`);
}

/** How the rows with this tag looked is forgotten, so that their next look is written whatever it is. */
async function askAgain(
  tx: Queries,
  { accountId, connectionId }: KommoScope,
  entity: KommoEntity,
  tagId: number,
): Promise<void> {
  const row = ident(PLACES[entity].row);
  await tx.query(sql`
    with forgotten as (
      update private.${ident(PLACES[entity].looks)} as known
      set hash = decode(repeat('00', 16), 'hex')
      from public.${ident(PLACES[entity].links)} as link
      where link.account_id = ${accountId} and link.tag_id = ${tagId}
        and known.connection_id = ${connectionId} and known.${row} = link.${row}
      returning known.kommo_id
    )
    insert into private.kommo_hints (connection_id, entity, kommo_id)
    select ${connectionId}::bigint, ${entity}, kommo_id from forgotten
    on conflict (connection_id, entity, kommo_id) do nothing`);
}
