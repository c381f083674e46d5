import { DEVICE_CODES, sayingOf, type DeviceCode } from '../../../domain/device-status.ts';
import { devices } from '../../../domain/entities/devices.ts';
import { formatTimestamp } from '../../../domain/row-json.ts';
import type { Queries, TextRow } from '../../../platform/postgres.ts';
import { inReach, type Reach } from '../../../platform/entity-sql/scope.ts';
import { sql, type Sql } from '../../../platform/sql.ts';

/** Of one account, or of some of its devices; undefined: of all accounts. */
type Scope = { readonly reach: Reach | undefined };

/** A frame that came longer ago does not prove that a device is connected. */
const ALIVE_SECONDS = 60;

/**
 * The devices page: how many are how, what waits, who works, and whether the version of the client is accepted. Devices
 * and what waits are those that the caller sees; the rest is the same for all.
 */
export async function describeDevices(
  db: Queries,
  { reach }: Scope,
): Promise<Record<string, unknown>> {
  const within = reach === undefined ? sql`true` : inReach(devices, 'device', reach);
  const [states, [waiting], [around], versions] = await Promise.all([
    db.query(countStates(within)),
    db.query(countPending(within)),
    db.query(readAround),
    db.query(readVersions),
  ]);
  return {
    devices: states.map((row) => ({
      status: row['status'],
      ...(row['status_code']
        ? { status_code: row['status_code'], ...saying(row['status_code']) }
        : {}),
      count: Number(row['count']),
      alive_count: Number(row['alive']),
      ...instants(row, ['retry_at']),
    })),
    pending_count: Number(waiting?.['count']),
    ...(waiting?.['seconds'] ? { oldest_pending_seconds: Number(waiting['seconds']) } : {}),
    worker_count: Number(around?.['workers']),
    leased_count: Number(around?.['leased']),
    breaker: {
      is_open: around?.['opened_at'] !== null,
      ...instants(around, ['opened_at', 'probe_at']),
      ...(around?.['probe_version'] ? { probe_version: around['probe_version'] } : {}),
    },
    versions: versions.map((row) => ({
      version: row['version'],
      ...instants(row, ['added_at', 'proven_at', 'refused_at']),
    })),
  };
}

/** What their people read. */
function saying(code: string): { status_reason?: string } {
  const known = DEVICE_CODES.find((each): each is DeviceCode => each === code);
  return known === undefined ? {} : { status_reason: sayingOf(known).says };
}

function instants(row: TextRow | undefined, names: readonly string[]): Record<string, string> {
  return Object.fromEntries(
    names.flatMap((name) => {
      const text = row?.[name];
      return text ? [[name, formatTimestamp(text)]] : [];
    }),
  );
}

const countStates = (within: Sql): Sql => sql`
  select device.status, device.status_code, count(*) as count,
    min(device.retry_at) filter (where device.retry_at > now()) as retry_at,
    count(*) filter (where pulse.frame_at > now() - make_interval(secs => ${ALIVE_SECONDS})) as alive
  from public.devices as device
  left join private.whatsapp_pulses as pulse
    on pulse.account_id = device.account_id and pulse.device_id = device.id
  where ${within}
  group by device.status, device.status_code
  order by device.status, device.status_code nulls first`;

const countPending = (within: Sql): Sql => sql`
  select coalesce(sum(waiting.count), 0) as count,
    floor(extract(epoch from now() - min(waiting.since))) as seconds
  from public.devices as device
  cross join lateral (
    select count(*) as count, min(message.created_at) as since
    from public.messages as message
    where message.account_id = device.account_id and message.device_id = device.id
      and message.status = 'pending'
  ) as waiting
  where ${within}`;

const readAround = sql`
  select breaker.opened_at, breaker.probe_at, breaker.probe_version,
    (select count(*) from private.ingest_workers where expires_at > clock_timestamp()) as workers,
    (
      select count(*) from private.ingest_leases as lease
      join private.ingest_workers as worker on worker.id = lease.owner
      where starts_with(lease.resource, 'whatsapp:') and worker.expires_at > clock_timestamp()
    ) as leased
  from private.whatsapp_breaker as breaker`;

const readVersions = sql`
  select version, added_at, proven_at, refused_at from private.whatsapp_versions
  order by string_to_array(version, '.')::bigint[] desc
  limit 100`;
