import { judgeHealth, type Health, type HealthCheck } from '../platform/health.ts';
import { judgeSlot, type SlotStatus } from '../platform/replication-slot.ts';

/** What a replicator knows of itself. */
export type Standing =
  | { readonly role: 'starting' }
  | { readonly role: 'standby'; readonly isLeaderAlive: boolean }
  | {
      readonly role: 'leader';
      /** Why there is no stream just now; undefined while there is one. */
      readonly trouble: string | undefined;
      /** Since the newest heartbeat that came back was sent; undefined before the first. */
      readonly heartbeatAgeMs: number | undefined;
      /** What the pipeline waits for. */
      readonly stage: string;
    };

export type Facts = {
  readonly standing: Standing;
  readonly slot: SlotStatus | undefined | Error;
  readonly isRedisReachable: boolean;
};

/** A heartbeat that has not come back for this long is late: readers have stopped trusting the cache by then. */
const HEARTBEAT_LATE_MS = 3_000;

/** Pure: green only while the feed is live, or while another one's is and this one waits. */
export function judgeReplicator({ standing, slot, isRedisReachable }: Facts): Health {
  const checks: HealthCheck[] = [judgeStanding(standing)];
  if (slot instanceof Error)
    checks.push({ name: 'slot', ok: false, says: `Postgres does not answer: ${slot.message}` });
  else checks.push(judgeSlot(slot));
  if (standing.role === 'leader')
    checks.push(judgeHeartbeat(standing.heartbeatAgeMs, standing.stage));
  checks.push({
    name: 'redis',
    ok: isRedisReachable,
    says: isRedisReachable
      ? 'Redis answers'
      : 'Redis does not answer; changes wait and readers bypass the cache',
  });
  return judgeHealth(checks);
}

function judgeStanding(standing: Standing): HealthCheck {
  const check = (ok: boolean, says: string): HealthCheck => ({ name: 'leadership', ok, says });
  switch (standing.role) {
    case 'starting':
      return check(false, 'not decided yet');
    case 'standby':
      return standing.isLeaderAlive
        ? check(true, 'standby: another replicator leads')
        : check(false, 'standby: no leader beats; this one takes over as soon as it may');
    case 'leader':
      return standing.trouble === undefined
        ? check(true, 'leader')
        : check(false, `leader without a stream: ${standing.trouble}`);
    default:
      return standing satisfies never;
  }
}

function judgeHeartbeat(ageMs: number | undefined, stage: string): HealthCheck {
  const check = (ok: boolean, says: string): HealthCheck => ({ name: 'heartbeat', ok, says });
  if (ageMs === undefined) return check(false, 'no heartbeat has come back yet');
  const age = `${(ageMs / 1_000).toFixed(1)} s`;
  if (ageMs <= HEARTBEAT_LATE_MS)
    return check(true, `the last one that came back was sent ${age} ago`);
  return check(false, `none has come back for ${age}; the pipeline is at: ${stage}`);
}
