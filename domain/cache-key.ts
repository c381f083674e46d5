import type { Entity } from './entity.ts';
import { ENTITIES } from './registry.ts';

/**
 * Names of everything Clarin keeps in Redis, and which cache entries a change reaches. Both sides of the cache
 * import this file and nothing else decides.
 *
 * Entries live in *families*: one Redis hash per account and family, one field per entry, so that dropping a
 * family costs the same whatever it holds. `leads.row` holds single leads (field = id), `leads.list` every list,
 * page and board of leads (field = canonical query), `messages.page` the newest page of each chat (field = the chat's
 * id), `sessions.row` the principals.
 * All keys of an account share one hash slot by `{a:<id>}`; the epoch is part of the name, so that nothing of an
 * older epoch can ever be read.
 */
export type Keyspace = { readonly prefix: string };

export const controlKeys = (space: Keyspace) => {
  const base = `${space.prefix}:{control}`;
  return {
    /** JSON {epoch, base, term}, gone 3 s after the last heartbeat was sent: readers trust the cache only while it is there. */
    live: `${base}:live`,
    /** `<epoch> <hex>`: every commit that ends at or before it is applied, whichever account it belongs to. */
    position: `${base}:position`,
    /** Hash: epoch, base, term, run_id, system_id, timeline, slot, publication. */
    control: `${base}:control`,
    /** The leader's process is running: renewed by its timer, whatever its lag. */
    leader: `${base}:leader`,
    /** Set of the accounts that have keys in an epoch, so that they can be fenced and dropped without a scan. */
    accounts: (epoch: string): string => `${base}:accounts:${epoch}`,
    /** Channel: a new epoch (payload: its id). */
    epochs: `${base}:epochs`,
  };
};

export const accountKeys = (space: Keyspace, accountId: number, epoch: string) => {
  const base = `${space.prefix}:{a:${accountId}}:${epoch}`;
  return {
    /** Hash: w (watermark, hex), term, trimmed (hex of the newest commit cut from the log), bytes (of the log). */
    head: `${base}:head`,
    /** Stream, entry ids `<commit lsn, decimal>-<part>`. */
    log: `${base}:log`,
    /** List `<entry id> <bytes>`, oldest first: lets the log be cut to a byte budget. */
    sizes: `${base}:sizes`,
    family: (family: string): string => `${base}:f:${family}`,
    /** Tombstone of a family or of one entry in it: hex LSN of the newest commit that touched it. */
    tombstone: (tag: string): string => `${base}:t:${tag}`,
    /** Sharded channel: the new watermark (hex). */
    channel: `${base}:ch`,
  };
};

export const rowFamily = (table: string): string => `${table}.row`;
export const listFamily = (table: string): string => `${table}.list`;
export const pageFamily = (table: string): string => `${table}.page`;
/** Principals by session id: who may do what, read on every request. */
export const PRINCIPALS = 'sessions.row';
/** What is counted of a whole account (field = the quarter of an hour it is counted in). */
export const DASHBOARD = 'dashboard';
/** Leads per stage of every pipeline. */
export const PIPELINE_COUNTS = 'pipelines.counts';

/** Tables whose rows are counted, or name what is counted: each change of one reaches the whole family. */
const COUNTED: Readonly<Record<string, readonly string[]>> = {
  [DASHBOARD]: [
    'accounts',
    'contacts',
    'interactions',
    'leads',
    'pipelines',
    'pipeline_stages',
    'chats',
    'messages',
    'devices',
  ],
  [PIPELINE_COUNTS]: ['leads', 'pipelines', 'pipeline_stages'],
};

/** What a change of a table's rows invalidates. `owner`: the column whose value is the entry's field. */
export type Reach =
  | { readonly family: string; readonly scope: 'all' }
  | { readonly family: string; readonly scope: 'entry'; readonly field: string };

/**
 * Families a change of this table reaches: its own row and list, and every payload that embeds it. A link row
 * (lead_tags) reaches only the entries of its owner; an embedded row reaches every payload that may show it.
 */
export function reachOf(entity: Entity, entities: readonly Entity[] = ENTITIES): Reach[] {
  const reaches = new Map<string, Reach>();
  const add = (reach: Reach): void => {
    const known = reaches.get(reach.family);
    if (!known || known.scope === 'entry') reaches.set(reach.family, reach);
  };
  if (entity.cache.row) add({ family: rowFamily(entity.table), scope: 'entry', field: 'id' });
  if (entity.cache.list) add({ family: listFamily(entity.table), scope: 'all' });
  for (const other of entities) {
    for (const embed of Object.values(other.embeds)) {
      // An id alone changes with the link, never with the row it names.
      const isShown = embed.table === entity.table && embed.columns.some((name) => name !== 'id');
      const isLink = embed.kind === 'many' && embed.through === entity.table;
      if (!isShown && !isLink) continue;
      if (other.cache.list) add({ family: listFamily(other.table), scope: 'all' });
      if (!other.cache.row) continue;
      if (isLink && embed.kind === 'many' && entity.identity.includes(embed.owner)) {
        add({ family: rowFamily(other.table), scope: 'entry', field: embed.owner });
      } else add({ family: rowFamily(other.table), scope: 'all' });
    }
    reachOfPages(entity, other).forEach(add);
  }
  for (const [family, tables] of Object.entries(COUNTED))
    if (tables.includes(entity.table)) add({ family, scope: 'all' });
  if (entity.table === 'sessions') add({ family: PRINCIPALS, scope: 'entry', field: 'id' });
  if (['accounts', 'memberships', 'roles'].includes(entity.table))
    add({ family: PRINCIPALS, scope: 'all' });
  return [...reaches.values()];
}

/** What a change of `entity` reaches of the pages of `other`: it is in them, is embedded in them, or is what they are of. */
function reachOfPages(entity: Entity, other: Entity): Reach[] {
  const { page } = other.cache;
  if (page === undefined) return [];
  const family = pageFamily(other.table);
  if (other.columns[page]?.references === entity.table)
    return [{ family, scope: 'entry', field: 'id' }];
  const embedded = Object.values(other.embeds).flatMap((embed) =>
    embed.kind === 'many' ? [embed.table, embed.through] : [embed.table],
  );
  if (entity.table !== other.table && !embedded.includes(entity.table)) return [];
  const isNamed = entity.identity.includes(page);
  return [isNamed ? { family, scope: 'entry', field: page } : { family, scope: 'all' }];
}

/** Every family there is: what a new epoch drops. */
export function allFamilies(entities: readonly Entity[] = ENTITIES): string[] {
  const families = new Set<string>([PRINCIPALS]);
  for (const entity of entities)
    for (const reach of reachOf(entity, entities)) families.add(reach.family);
  return [...families];
}

/** A tombstone outlives every fill by this; a fill older than half of it is refused. */
export const TOMBSTONE_SECONDS = 120;
/** A family is dropped this long after its first entry: a bound on memory, not on staleness. */
export const FAMILY_SECONDS = 3_600;
/** Entries a family holds; one more drops the family first. */
export const FAMILY_ENTRIES_MAX = 2_000;
/** Bytes of its entries; one more drops the family first. */
export const FAMILY_BYTES_MAX = 8 * 1024 * 1024;
/** Field of a family that counts its bytes; no entry's name begins with it. */
export const BYTES_FIELD = '#bytes';
/** A larger body is not cached. */
export const ENTRY_BYTES_MAX = 512 * 1024;
/** Readers stop trusting the cache this long after the last heartbeat that came back was sent. */
export const LIVENESS_MS = 3_000;
/** Byte budget of one account's log; older commits are cut and resuming from before them is a resync. */
export const LOG_BYTES_MAX = 16 * 1024 * 1024;
