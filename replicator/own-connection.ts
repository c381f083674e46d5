import type pg from 'pg';
import { queryClient, type TextRow } from '../platform/postgres.ts';
import type { Sql } from '../platform/sql.ts';

/**
 * A statement on a connection of one's own, with a deadline that also ends the connection: a server that is gone without
 * a word answers nothing, not even its own timeouts.
 */
export async function queryWithin(
  timeoutMs: number,
  client: pg.Client,
  statement: Sql,
): Promise<TextRow[]> {
  const deadline = setTimeout(() => void endClient(client), timeoutMs);
  try {
    return await queryClient(client, statement);
  } finally {
    clearTimeout(deadline);
  }
}

/** Ends a connection, whatever state it is in. */
export async function endClient(client: pg.Client): Promise<void> {
  await client.end().catch(() => undefined);
}
