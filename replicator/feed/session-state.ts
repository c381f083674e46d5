import type { AccessClaims } from '../../platform/access.ts';
import type { Log } from '../../platform/log.ts';
import type { Metrics } from '../../platform/metrics.ts';
import type { Queries } from '../../platform/postgres.ts';
import type { Connection } from './connection.ts';
import type { History } from './history.ts';
import type { Hub } from './hub.ts';

/**
 * One socket's conversation.
 *
 *   awaiting hello ──hello──► authenticating ──principal──► live ──► closed
 *
 * Every state may close. `authenticating` is in its account's room already, so that a revocation that comes while the
 * principal is being read makes it be read again. In `live`, a control change *holds* the session: its subscriptions
 * leave the room in the same turn, before the commit that brought the change is delivered, and go on from the log when
 * the principal has been read again. So nothing behind a revocation can reach a revoked socket, however long that takes.
 */
export type SessionState =
  | { readonly kind: 'awaiting hello' }
  | { readonly kind: 'authenticating'; readonly accountId: number | undefined }
  | { readonly kind: 'live'; readonly accountId: number; claims: AccessClaims }
  | { readonly kind: 'closed' };

export type SessionOptions = {
  readonly connection: Connection;
  readonly hub: Hub;
  readonly history: History;
  readonly database: Queries;
  readonly secret: string;
  readonly log: Log;
  readonly metrics: Metrics;
  /** Wall clock: tokens expire by it. */
  readonly nowMs: () => number;
  readonly onAuthenticated: () => void;
};
