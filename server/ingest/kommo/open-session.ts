import { readKommoCursors } from '../../commands/kommo-cursors.ts';
import { readKommoPulseAge } from '../../commands/kommo-pulse.ts';
import type { Lease } from '../../commands/lease-work.ts';
import type { Log } from '../../../platform/log.ts';
import type { Metrics } from '../../../platform/metrics.ts';
import type { Database } from '../../../platform/postgres.ts';
import { createKommoClient } from '../../kommo/client.ts';
import type { KommoMeans } from '../../kommo/means.ts';
import { createTurn } from '../../kommo/turn.ts';
import type { Clock } from '../clock.ts';
import { readConnections, connectionOf } from './connections.ts';
import { createReferences } from './pass-reference.ts';
import { SeenRows } from './seen-rows.ts';
import type { Session } from './session.ts';

export type SessionMeans = {
  readonly database: Database;
  readonly kommo: KommoMeans;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: Metrics;
};

/** For so long nothing may be read before events and deletions are no longer believed to tell everything. */
export const GAP_MS = 3_600_000;

type Opened = {
  readonly session: Session;
  /** Nothing was read for too long before. */
  readonly hasGap: boolean;
  /** When somebody last had, by our clock, ms; undefined: never. */
  readonly readAtMs: number | undefined;
};

/**
 * What work on a connection begins with. Undefined: it is no longer there.
 * @throws ClarinError when Postgres is away.
 */
export async function openSession(
  means: SessionMeans,
  lease: Lease,
  signal: AbortSignal,
): Promise<Opened | undefined> {
  const { database, kommo, clock, metrics } = means;
  const connectionId = connectionOf(lease.resource);
  const [connection] = await readConnections(database, [connectionId]);
  if (!connection || connection.status === 'disconnected') return undefined;
  const { accountId, subdomain } = connection;
  const scope = { accountId, connectionId };
  const cursors = await readKommoCursors(database, scope);
  const saved = [...cursors.values()].map((cursor) => clock.now() - cursor.savedAtMs);
  const pulseAgeMs = await readKommoPulseAge(database, scope);
  const silentMs = Math.min(pulseAgeMs ?? Infinity, ...saved);
  const log = means.log.child({ account: accountId, connection: connectionId });
  const client = createKommoClient({
    ...kommo,
    connection: { id: connectionId, accountId, subdomain },
    signal,
  });
  const session: Session = {
    scope,
    lease,
    client,
    database,
    clock,
    log,
    metrics,
    signal,
    writes: createTurn(),
    connection,
    cursors,
    lists: new Map(),
    seen: { lead: new SeenRows(), contact: new SeenRows(), deleted: new SeenRows() },
    references: createReferences(),
    changedAtMs: undefined,
    toldAtMs: -Infinity,
    looks: 0,
    hintedAtMs: -Infinity,
    buried: { lead: 0, contact: 0 },
    doubts: { lead: new Set(), contact: new Set() },
  };
  // Who has no cursors has never been read: everything is read anyway.
  const isKnown = cursors.size > 0;
  return {
    session,
    hasGap: isKnown && silentMs > GAP_MS,
    readAtMs: isKnown ? clock.elapsed() - silentMs : undefined,
  };
}
