import { createHash } from 'node:crypto';
import pg from 'pg';
import { publishedColumns, type Entity } from '../domain/entity.ts';
import { ClarinError } from '../domain/errors.ts';
import { ENTITIES } from '../domain/registry.ts';
import type { EpochIdentity } from '../platform/cache/types.ts';
import type { Queries } from '../platform/postgres.ts';
import { readPublicationVersion } from '../platform/publication-catalog.ts';
import { translateError } from '../platform/sqlstate.ts';

/**
 * Digest of what is published, of the form it takes, and of when it was last altered: a cache or a log of another form is
 * not read, and one that may lack what was not published for a while is not either.
 */
export async function readPublicationDigest(
  db: Queries,
  publication: string,
  entities: readonly Entity[] = ENTITIES,
): Promise<string> {
  const version = await readPublicationVersion(db, publication);
  const tables = entities.map((entity) => [
    entity.table,
    publishedColumns(entity).map((name) => [
      name,
      entity.columns[name]?.kind,
      entity.columns[name]?.permission ?? '',
    ]),
    entity.identity,
    entity.feedFilters,
    entity.embeds,
    entity.list ?? null,
  ]);
  return createHash('sha256')
    .update(JSON.stringify([publication, version, tables]))
    .digest('hex')
    .slice(0, 16);
}

/**
 * Which cluster and which history of it, as a walsender says: a restored or promoted database is another one. Any role with
 * REPLICATION may ask. https://www.postgresql.org/docs/current/protocol-replication.html
 * @throws ClarinError `configuration` when the role may not replicate, `unavailable` when nobody answers.
 */
export async function readIdentity(options: {
  url: string;
  slot: string;
  /** Digest. */
  publication: string;
}): Promise<EpochIdentity> {
  const client = new pg.Client({
    connectionString: options.url,
    application_name: 'clarin identity',
    connectionTimeoutMillis: 5_000,
    query_timeout: 5_000,
    replication: 'database',
  } as pg.ClientConfig);
  client.on('error', () => undefined);
  try {
    await client.connect();
    const answer = await client.query<{ systemid: string; timeline: number | string }>(
      'IDENTIFY_SYSTEM',
    );
    const [row] = answer.rows;
    if (!row) throw new ClarinError('unavailable', 'Postgres did not say which system it is');
    return {
      systemId: row.systemid,
      timeline: Number(row.timeline),
      slot: options.slot,
      publication: options.publication,
    };
  } catch (error) {
    throw translateError(error);
  } finally {
    await client.end().catch(() => undefined);
  }
}
