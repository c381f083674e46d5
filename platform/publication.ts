import { publishedColumns, type Entity } from '../domain/entity.ts';
import { ENTITIES } from '../domain/registry.ts';
import {
  readPublication,
  readTables,
  type ActualPublication,
  type ActualTable,
} from './publication-catalog.ts';
import type { Queries } from './postgres.ts';

/**
 * Triggers of ours that a table must have beside those of every entity: the replicator and the rows' own truth depend
 * on them.
 */
const TRIGGERS: Readonly<Record<string, readonly string[]>> = {
  users: ['revoke_sessions'],
  memberships: ['one_default'],
  pipelines: ['derive', 'add_ends'],
  pipeline_stages: ['derive', 'keep_ends', 'carry_type'],
  contacts: ['derive'],
  leads: ['derive'],
};

/**
 * Everything in which the database differs from the declarations and that would make the stream say less, more or
 * something else than it must: one sentence each, none when all is well. Reads catalogs only.
 * https://www.postgresql.org/docs/current/logical-replication-publication.html
 */
export async function readPublicationDrift(db: Queries, publication: string): Promise<string[]> {
  const actual = await readPublication(db, publication);
  const tables = await readTables(
    db,
    ENTITIES.map(({ table }) => table),
  );
  return judgeDrift(publication, actual, tables);
}

function judgeDrift(
  name: string,
  actual: ActualPublication | undefined,
  tables: ReadonlyMap<string, ActualTable>,
  entities: readonly Entity[] = ENTITIES,
): string[] {
  return [
    ...publicationDrift(name, actual, entities),
    ...entities.flatMap((entity) => tableDrift(entity, tables.get(entity.table))),
  ];
}

function publicationDrift(
  name: string,
  actual: ActualPublication | undefined,
  entities: readonly Entity[],
): string[] {
  if (!actual) return [`publication ${name} is missing`];
  const says: string[] = [];
  if (actual.allTables) says.push(`publication ${name} is for all tables`);
  if (actual.schemas.length > 0)
    says.push(`publication ${name} holds whole schemas: ${actual.schemas.join(', ')}`);
  if (actual.missingOperations.length > 0) {
    says.push(`publication ${name} does not publish ${actual.missingOperations.join(', ')}`);
  }
  if (actual.viaRoot) says.push(`publication ${name} has publish_via_partition_root on`);
  const declared = new Set(entities.map(({ table }) => `public.${table}`));
  for (const table of actual.tables.keys()) {
    if (!declared.has(table)) says.push(`${table} is in publication ${name} and is no entity`);
  }
  for (const entity of entities) {
    const entry = actual.tables.get(`public.${entity.table}`);
    if (!entry) {
      says.push(`${entity.table} is not in publication ${name}`);
      continue;
    }
    if (entry.rowFilter !== null) says.push(`${entity.table} is published with a row filter`);
    const difference = setDifference(publishedColumns(entity), entry.columns);
    if (difference) says.push(`${entity.table} is published with other columns: ${difference}`);
  }
  return says;
}

function tableDrift(entity: Entity, actual: ActualTable | undefined): string[] {
  if (!actual) return [`table ${entity.table} is missing`];
  return [
    ...(actual.isPlain ? [] : [`${entity.table} is not a plain logged table`]),
    ...identityDrift(entity, actual),
    ...columnDrift(entity, actual),
    ...triggerDrift(entity, actual),
  ];
}

function identityDrift(entity: Entity, actual: ActualTable): string[] {
  const { table } = entity;
  const { kind, index, columns } = actual.identity;
  if (kind === 'nothing' || kind === 'full') return [`${table} has replica identity ${kind}`];
  const says: string[] = [];
  const wanted = identityIndex(entity);
  if (wanted === undefined) {
    if (kind !== 'default')
      says.push(`${table} has replica identity ${index ?? kind} instead of its primary key`);
  } else if (index !== wanted) {
    says.push(`${table} has replica identity ${index ?? kind} instead of ${wanted}`);
  }
  if (entity.scope === 'tenant' && !columns.includes('account_id')) {
    says.push(
      `${table} has no account_id in its replica identity: its deletes could not be given to an account`,
    );
  }
  const difference = setDifference(entity.identity, columns);
  if (difference) says.push(`${table} has a replica identity of other columns: ${difference}`);
  return says;
}

/** The index of the replica identity; undefined for tables whose primary key serves. */
export function identityIndex(entity: Entity): string | undefined {
  return entity.scope === 'tenant' ? `${entity.table}_identity` : undefined;
}

function columnDrift(entity: Entity, actual: ActualTable): string[] {
  const says: string[] = [];
  for (const [name, column] of Object.entries(entity.columns)) {
    const found = actual.columns.get(name);
    if (!found) {
      says.push(`${entity.table}.${name} is missing`);
      continue;
    }
    if (found.type !== column.pgType) {
      says.push(`${entity.table}.${name} is ${found.type} and is declared as ${column.pgType}`);
    }
    if (found.nullable && !column.nullable)
      says.push(`${entity.table}.${name} may be null and is declared not null`);
    if (!found.nullable && column.nullable)
      says.push(`${entity.table}.${name} is not null and is declared nullable`);
    if (found.generated)
      says.push(`${entity.table}.${name} is generated: Postgres before 18 does not replicate it`);
  }
  return says;
}

function triggerDrift(entity: Entity, actual: ActualTable): string[] {
  const says: string[] = [];
  const wanted = ['hold', 'touch', ...(TRIGGERS[entity.table] ?? [])];
  if (entity.feedFilters.length > 0) wanted.push('zz_announce_was', 'zz_announce_was_delete');
  for (const name of wanted) {
    const found = actual.triggers.get(name);
    if (!found) {
      says.push(`${entity.table} has no trigger ${name}`);
      continue;
    }
    if (!found.isAlways) says.push(`trigger ${name} of ${entity.table} is not enabled always`);
    if (!name.startsWith('zz_announce_was')) continue;
    const difference = setDifference(entity.feedFilters, found.arguments);
    if (difference)
      says.push(`trigger ${name} of ${entity.table} announces other columns: ${difference}`);
  }
  return says;
}

/** `lacks a, b; has c`; undefined when both hold the same. */
function setDifference(wanted: readonly string[], found: readonly string[]): string | undefined {
  const lacks = wanted.filter((name) => !found.includes(name));
  const has = found.filter((name) => !wanted.includes(name));
  const parts: string[] = [];
  if (lacks.length > 0) parts.push(`lacks ${lacks.join(', ')}`);
  if (has.length > 0) parts.push(`has ${has.join(', ')}`);
  return parts.length > 0 ? parts.join('; ') : undefined;
}
