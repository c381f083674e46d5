import {
  DASHBOARD,
  listFamily,
  pageFamily,
  PIPELINE_COUNTS,
  PRINCIPALS,
  rowFamily,
} from '../../../domain/cache-key.ts';
import { messages } from '../../../domain/entities/messages.ts';
import type { Entity } from '../../../domain/entity.ts';
import { ENTITIES } from '../../../domain/registry.ts';
import { loadPrincipalToKeep, type SessionRef } from '../../../platform/access.ts';
import { listEntities, readEntity, type Sees } from '../../../platform/entity-sql.ts';
import { parseBoardKey, readBoard, type BoardQuery } from '../../../platform/entity-sql/board.ts';
import {
  listDuplicates,
  parseDuplicatesKey,
  type DuplicatesQuery,
} from '../../../platform/entity-sql/duplicates.ts';
import { NEWEST_PAGE, readPage, type PageQuery } from '../../../platform/entity-sql/messages.ts';
import { parseListKey, type ListQuery } from '../../../platform/entity-sql/list-query.ts';
import type { Queries } from '../../../platform/postgres.ts';
import { sql } from '../../../platform/sql.ts';
import {
  parseDashboardKey,
  PIPELINE_COUNTS_KEY,
  readDashboard,
  readPipelineCounts,
} from './stats.ts';

/**
 * How every body that may be cached is made from Postgres: by the routes on a miss, and again by `clarin verify`.
 * Undefined: there is no such row.
 */
type Reading = {
  accountId: number;
  devices?: readonly number[] | undefined;
  sees?: Sees;
  signal?: AbortSignal;
};

/** The body of what is not there, cached and fenced like any other. */
export const ABSENT = 'null';

export async function loadRow(
  db: Queries,
  entity: Entity,
  options: Reading & { id: number },
): Promise<string | undefined> {
  const row = await readEntity(db, entity, options);
  return row === undefined ? undefined : `{"data":${row}}`;
}

export function loadList(
  db: Queries,
  entity: Entity,
  options: Reading & { query: ListQuery },
): Promise<string> {
  return listEntities(db, entity, options);
}

export function loadBoard(
  db: Queries,
  options: Reading & { query: BoardQuery },
): Promise<string | undefined> {
  return readBoard(db, options);
}

export function loadDuplicates(
  db: Queries,
  options: Reading & { query: DuplicatesQuery },
): Promise<string> {
  return listDuplicates(db, options);
}

export function loadPage(
  db: Queries,
  options: Reading & { chatId: number; query: PageQuery },
): Promise<string | undefined> {
  return readPage(db, options);
}

export async function loadPrincipalJson(
  db: Queries,
  session: SessionRef,
): Promise<string | undefined> {
  const principal = await loadPrincipalToKeep(db, session);
  return principal && JSON.stringify(principal);
}

/**
 * The body an entry of the cache should have, by its name alone. Undefined: nothing of ours has this name.
 */
export async function loadEntry(
  db: Queries,
  { accountId, family, field }: { accountId: number; family: string; field: string },
): Promise<string | undefined> {
  if (family === PRINCIPALS)
    return (await loadPrincipalOfSession(db, accountId, Number(field))) ?? ABSENT;
  if (family === pageFamily(messages.table)) {
    const page = { accountId, chatId: Number(field), query: NEWEST_PAGE };
    return (await loadPage(db, page)) ?? ABSENT;
  }
  if (family === DASHBOARD) {
    const moment = parseDashboardKey(field);
    if (moment === undefined) return undefined;
    return (await readDashboard(db, { accountId, moment, sees: () => true })) ?? ABSENT;
  }
  if (family === PIPELINE_COUNTS && field === PIPELINE_COUNTS_KEY)
    return readPipelineCounts(db, { accountId });
  for (const entity of ENTITIES) {
    if (family === rowFamily(entity.table))
      return (await loadRow(db, entity, { accountId, id: Number(field) })) ?? ABSENT;
    if (family !== listFamily(entity.table)) continue;
    const board = parseBoardKey(field);
    if (board) return (await loadBoard(db, { accountId, query: board })) ?? ABSENT;
    const duplicates = parseDuplicatesKey(entity, field);
    if (duplicates) return loadDuplicates(db, { accountId, query: duplicates });
    const query = parseListKey(entity, field);
    return query && loadList(db, entity, { accountId, query });
  }
  return undefined;
}

async function loadPrincipalOfSession(
  db: Queries,
  accountId: number,
  sessionId: number,
): Promise<string | undefined> {
  const rows = await db.query(sql`
    select user_id from public.sessions where account_id = ${accountId} and id = ${sessionId}`);
  const userId = rows[0]?.['user_id'];
  return userId
    ? loadPrincipalJson(db, { accountId, sessionId, userId: Number(userId) })
    : undefined;
}
