import type { Queries } from '../../platform/postgres.ts';
import { sql, type Sql } from '../../platform/sql.ts';

/**
 * Which version of the client is spoken, for all workers. WhatsApp gives up versions, sometimes from one hour to the next:
 * then it refuses everybody (405), and whoever goes on trying looks like an attack. So:
 *
 *   closed   everybody connects, with the highest version that was seen to work and was not refused since, or with the
 *            one that Baileys brings if that is higher
 *   open     three devices were refused within five minutes (or all there are): nobody connects. Every five minutes, and
 *            as soon as there is a version nobody has tried, one device does, with the next candidate: what was never
 *            refused first, the highest; then what was refused longest ago
 *   closed   again as soon as one is let in; its version is the one for all
 *
 * Sockets that are open are left alone: they are not asked for their version again.
 */
const REFUSED_MAX = 3;
const REFUSED_WITHIN_MINUTES = 5;
const PROBE_EVERY_MINUTES = 5;

/** Numbers are compared as numbers. */
const partsOf = (version: Sql): Sql => sql`string_to_array(${version}, '.')::bigint[]`;

export type Admission =
  /** `2.3000.1043857760`. A probe is the only one that connects. */
  | { readonly kind: 'go'; readonly version: string; readonly isProbe: boolean }
  /** Nobody may; the next one after this. */
  | { readonly kind: 'wait'; readonly waitMs: number };

/** Whether a device may connect now, and how. `own` is the version that Baileys brings. */
export async function admitConnection(db: Queries, own: string): Promise<Admission> {
  const [row] = await db.query(sql`
    select breaker.opened_at is not null as is_open, ${usualVersion(own)} as version
    from private.whatsapp_breaker as breaker`);
  if (row?.['is_open'] !== 't')
    return { kind: 'go', version: row?.['version'] ?? own, isProbe: false };
  const [probe] = await db.query(sql`
    update private.whatsapp_breaker as breaker
    set probe_at = clock_timestamp() + make_interval(mins => ${PROBE_EVERY_MINUTES}),
      probe_version = ${nextCandidate(own)}
    where breaker.opened_at is not null and (breaker.probe_at <= clock_timestamp() or exists (
      select from private.whatsapp_versions as version
      where version.proven_at is null and version.refused_at is null
        and version.added_at > breaker.probe_at - make_interval(mins => ${PROBE_EVERY_MINUTES})
    ))
    returning breaker.probe_version`);
  if (probe) return { kind: 'go', version: probe['probe_version'] ?? own, isProbe: true };
  const [rest] = await db.query(sql`
    select extract(epoch from breaker.probe_at - clock_timestamp()) * 1000 as wait
    from private.whatsapp_breaker as breaker`);
  return { kind: 'wait', waitMs: Math.max(0, Number(rest?.['wait'] ?? 0)) };
}

const usualVersion = (own: string): Sql => sql`(
  select candidate.version
  from (
    select version.version from private.whatsapp_versions as version
    where version.proven_at is not null and coalesce(version.refused_at < version.proven_at, true)
    union
    select ${own}::text where not exists (
      select from private.whatsapp_versions as version
      where version.version = ${own} and version.refused_at > coalesce(version.proven_at, '-infinity')
    )
  ) as candidate
  order by ${partsOf(sql`candidate.version`)} desc
  limit 1
)`;

const nextCandidate = (own: string): Sql => sql`(
  select candidate.version
  from (
    select version.version, version.refused_at from private.whatsapp_versions as version
    union all
    select ${own}::text, null::timestamptz where not exists (
      select from private.whatsapp_versions as version where version.version = ${own}
    )
  ) as candidate
  order by candidate.refused_at asc nulls first, ${partsOf(sql`candidate.version`)} desc
  limit 1
)`;

/** WhatsApp refused the version. True: with that it is certain, and nobody connects any more. */
export async function noteRefusedVersion(
  tx: Queries,
  { deviceId, version }: { deviceId: number; version: string },
): Promise<boolean> {
  await tx.query(sql`
    insert into private.whatsapp_refusals (device_id, refused_at)
    select device.id, clock_timestamp() from public.devices as device where device.id = ${deviceId}
    on conflict (device_id) do update set refused_at = excluded.refused_at`);
  const opened = await tx.query(sql`
    update private.whatsapp_breaker as breaker
    set opened_at = clock_timestamp(), probe_version = ${version},
      probe_at = clock_timestamp() + make_interval(mins => ${PROBE_EVERY_MINUTES})
    where breaker.opened_at is null and (
      select count(*) from private.whatsapp_refusals
      where refused_at > clock_timestamp() - make_interval(mins => ${REFUSED_WITHIN_MINUTES})
    ) >= least(${REFUSED_MAX}, greatest(1, (
      select count(*) from private.ingest_leases where starts_with(resource, 'whatsapp:')
    )))
    returning true as is_open`);
  // Not for one refusal among many devices: that may be about the device.
  await tx.query(sql`
    insert into private.whatsapp_versions as known (version, refused_at)
    select ${version}, clock_timestamp() from private.whatsapp_breaker where opened_at is not null
    on conflict (version) do update set refused_at = excluded.refused_at`);
  return opened.length > 0;
}

/** A device was let in with this version. True: nobody could before. Writes nothing when that is nothing new. */
export async function noteProvenVersion(
  tx: Queries,
  { version, sinceMs }: { version: string; sinceMs: number },
): Promise<boolean> {
  // Who was let in before the others were refused proves nothing.
  const began = sql`clock_timestamp() - make_interval(secs => ${sinceMs / 1_000}::float8)`;
  await tx.query(sql`
    insert into private.whatsapp_versions as known (version, proven_at)
    select ${version}, clock_timestamp()
    where not exists (select from private.whatsapp_breaker where opened_at > ${began})
    on conflict (version) do update set proven_at = excluded.proven_at
      where known.proven_at is null or known.refused_at > known.proven_at`);
  const rows = await tx.query(sql`
    update private.whatsapp_breaker
    set opened_at = null, probe_at = null, probe_version = null
    where opened_at <= ${began}
    returning true as is_closed`);
  if (rows.length > 0) await tx.query(sql`delete from private.whatsapp_refusals`);
  return rows.length > 0;
}

/** A version to try, from people. Known already: it counts as never refused. False: it works. */
export async function addVersion(tx: Queries, version: string): Promise<boolean> {
  const rows = await tx.query(sql`
    insert into private.whatsapp_versions as known (version)
    values (${version})
    on conflict (version) do update set added_at = excluded.added_at, refused_at = null, proven_at = null
      where known.refused_at > coalesce(known.proven_at, '-infinity')
    returning version`);
  return rows.length > 0;
}
