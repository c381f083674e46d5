import { ClarinError } from '../../domain/errors.ts';
import type { Database } from '../../platform/postgres.ts';
import { sql } from '../../platform/sql.ts';

export type Reservation =
  | {
      readonly kind: 'granted';
      /** Until the moment that was reserved. */
      readonly waitMs: number;
      /** Between two requests, as it is now. */
      readonly spacingMs: number;
    }
  | {
      readonly kind: 'paused';
      /** The bucket that is, and until when, Unix ms by the database's clock. */
      readonly bucket: string;
      readonly untilMs: number;
    };

type Wanted = {
  /** Where a moment is reserved, in each the same one. Of none: only pauses are looked at. */
  readonly buckets: readonly string[];
  /** Whose pauses count. */
  readonly pauses: readonly string[];
  readonly requestsPerSecond: number;
  /** Moments in a row that are reserved: the request may leave during any of them. */
  readonly slots: number;
};

type Pause = {
  readonly bucket: string;
  readonly seconds: number;
  /** When it happens again soon after the last one, it doubles up to this. */
  readonly secondsMax: number;
};

/** When requests may leave, known to all processes. */
export type RateStore = {
  /** @throws ClarinError when Postgres is away. */
  reserve(wanted: Wanted): Promise<Reservation>;
  /** Gives when it ends, Unix ms. One that is under way is only ever made longer. @throws ClarinError. */
  pause(pause: Pause): Promise<number>;
};

/** After a pause: so many requests in a second at first, one more for each minute that stays quiet. */
const RESUMED_RATE = 2;
/** A pause so soon after the last one is the next in its row. */
const IN_A_ROW_SECONDS = 24 * 3_600;
/** No moment is reserved so far ahead: the server's clock was set back. */
const AHEAD_SECONDS_MAX = 600;
/** The rows of a crash or of a new bucket are made once. */
const TRIES_MAX = 3;

/**
 * Moments and pauses in Postgres (private.kommo_slots, private.kommo_pauses), by its clock alone. A moment is reserved by
 * one statement: whoever comes at the same time waits for the row and gets the one behind.
 */
export function createRateStore(database: Database): RateStore {
  return {
    reserve: async (wanted) => {
      for (let tried = 0; tried < TRIES_MAX; tried++) {
        const reservation = await reserve(database, wanted);
        if (reservation) return reservation;
        await addBuckets(database, wanted.buckets);
      }
      throw new ClarinError('unavailable', 'no moment could be reserved for a request to Kommo');
    },
    pause: (pause) => setPause(database, pause),
  };
}

/** Undefined: one of the buckets is not there. */
async function reserve(
  database: Database,
  { buckets, pauses, requestsPerSecond, slots }: Wanted,
): Promise<Reservation | undefined> {
  const [row] = await database.query(sql`
    with pace as materialized (
      select
        max(paused_until) filter (where paused_until > clock_timestamp()) as paused_until,
        (array_agg(bucket order by paused_until desc))[1] as paused_bucket,
        least(${requestsPerSecond}::float8, min(resumed_rate + floor(
          greatest(0, extract(epoch from clock_timestamp() - paused_until)) / 60
        ))) as rate
      from private.kommo_pauses
      where bucket = any(${[...pauses]}::text[])
    ), held as materialized (
      select slot.bucket, slot.next_at
      from private.kommo_slots as slot, pace
      where slot.bucket = any(${[...buckets]}::text[]) and pace.paused_until is null
      order by slot.bucket
      for update of slot
    ), moment as materialized (
      select now, greatest(now, (
        select max(next_at) from unnest(moments) as next_at
        where next_at < now + make_interval(secs => ${AHEAD_SECONDS_MAX})
      )) as at
      from (
        select clock_timestamp() as now, array_agg(next_at) as moments from held having count(*) = ${buckets.length}
      ) as locked
    ), reserved as (
      update private.kommo_slots as slot
      set next_at = moment.at + make_interval(secs => ${slots}::int / pace.rate)
      from moment, pace
      where slot.bucket = any(${[...buckets]}::text[])
    )
    select pace.paused_bucket, extract(epoch from pace.paused_until) * 1000 as paused_until_ms,
      extract(epoch from moment.at - moment.now) * 1000 as wait_ms, 1000 / pace.rate as spacing_ms
    from pace left join moment on true`);
  if (row?.['paused_until_ms'])
    return {
      kind: 'paused',
      bucket: row['paused_bucket'] ?? '',
      untilMs: Number(row['paused_until_ms']),
    };
  if (!row?.['wait_ms']) return undefined;
  return {
    kind: 'granted',
    waitMs: Number(row['wait_ms']),
    spacingMs: Number(row['spacing_ms']),
  };
}

async function addBuckets(database: Database, buckets: readonly string[]): Promise<void> {
  await database.query(sql`
    insert into private.kommo_slots (bucket, next_at)
    select bucket, clock_timestamp()
    from unnest(${[...buckets]}::text[]) as bucket
    order by bucket
    on conflict (bucket) do nothing`);
}

async function setPause(
  database: Database,
  { bucket, seconds, secondsMax }: Pause,
): Promise<number> {
  // Several requests that were under way are refused for one and the same reason: while a pause lasts, there is no next one.
  const [row] = await database.query(sql`
    insert into private.kommo_pauses as pause (bucket, paused_until, resumed_rate, times, updated_at)
    values (${bucket}, clock_timestamp() + make_interval(secs => ${seconds}), ${RESUMED_RATE}, 1, clock_timestamp())
    on conflict (bucket) do update set
      paused_until = case
        when pause.paused_until > clock_timestamp()
          then greatest(pause.paused_until, excluded.paused_until)
        when pause.paused_until > clock_timestamp() - make_interval(secs => ${IN_A_ROW_SECONDS})
          then clock_timestamp() + make_interval(
            secs => least(${secondsMax}::float8, ${seconds}::float8 * power(2, least(pause.times, 20))))
        else excluded.paused_until
      end,
      times = case
        when pause.paused_until > clock_timestamp() then pause.times
        when pause.paused_until > clock_timestamp() - make_interval(secs => ${IN_A_ROW_SECONDS})
          then least(pause.times + 1, 1000)
        else 1
      end,
      resumed_rate = excluded.resumed_rate,
      updated_at = excluded.updated_at
    returning extract(epoch from paused_until) * 1000 as until_ms`);
  return Number(row?.['until_ms']);
}
