import { createVirtualClock, type VirtualClock } from '../../fakes/kommo/clock.ts';
import { createRandom, type Random } from '../../fakes/kommo/random.ts';
import type { World } from '../../fakes/kommo/world.ts';
import { createMetrics, type Metrics } from '../../platform/metrics.ts';
import type { Database } from '../../platform/postgres.ts';
import { sql } from '../../platform/sql.ts';
import { chooseKommoPipelines } from '../../server/commands/choose-kommo-pipelines.ts';
import type { Clock } from '../../server/ingest/clock.ts';
import { KommoWorker } from '../../server/ingest/kommo/worker.ts';
import type { KommoMeans } from '../../server/kommo/means.ts';
import { openKommoTestWorld, type Connection, type KommoTestWorld } from './kommo-means.ts';

/**
 * A worker whose time goes when everything it has to do is done: hours of it are seconds of ours, and what it does between
 * two moments does not depend on how fast the machine is. Time passes over there, in the worker, and where it matters
 * (a pause that Kommo asked for) in the database.
 */
export type LiveWorld = KommoTestWorld & {
  readonly clock: VirtualClock;
  open(): Promise<Live>;
};

export type Live = {
  readonly kommo: World;
  readonly connection: Connection;
  readonly random: Random;
  readonly metrics: Metrics;
  /** Until then nothing was asked. */
  start(): Promise<void>;
  /** These pipelines, by Kommo's ids, once the worker has found them. */
  follow(kommoIds: readonly number[]): Promise<void>;
  /** So many seconds pass. `between` happens once in each, `during` while a request is under way. */
  run(seconds: number, happens?: Happens): Promise<void>;
  /** Time passes until it is so. @throws Error with `says` when that takes longer than so many seconds. */
  until(
    check: () => Promise<boolean> | boolean,
    options: { seconds: number; says: () => string },
  ): Promise<void>;
  /** The worker ends wherever it is; another one goes on. */
  restart(): Promise<void>;
  stop(): Promise<void>;
};

export type Happens = { readonly between?: () => void; readonly during?: () => void };

/** Of ours, ms: what never comes is not waited for long. */
const LIMITS = { headersTimeoutMs: 400, totalTimeoutMs: 800 };
const PAUSES_EVERY_MS = 10_000;
const CHECKED_EVERY_SECONDS = 15;

/** Everything that looks like chance follows from the seed, but for what overtakes what on the way. */
export async function openLiveWorld(seed: number): Promise<LiveWorld> {
  const clock = createVirtualClock(Date.now());
  const limiter = { perSecond: 1_000_000, banAfter: null };
  const world = await openKommoTestWorld({ seed, clock, limiter });
  return { ...world, clock, open: () => openLive({ ...world, clock }, seed) };
}

/** Who is under way, and when nobody is. */
function createActivity() {
  let busy = 0;
  const waiting: (() => void)[] = [];
  return {
    during: async <T>(work: () => Promise<T>): Promise<T> => {
      busy += 1;
      try {
        return await work();
      } finally {
        busy -= 1;
        if (busy === 0) for (const go of waiting.splice(0)) go();
      }
    },
    /** Nobody is, and what they brought was looked at. */
    over: async (): Promise<void> => {
      for (let quiet = 0; quiet < 2; quiet++) {
        while (busy > 0) {
          quiet = 0;
          await new Promise<void>((resolve) => void waiting.push(resolve));
        }
        await new Promise((resolve) => setImmediate(resolve));
      }
    },
  };
}
type Activity = ReturnType<typeof createActivity>;

async function sleepBy(clock: VirtualClock, ms: number, signal: AbortSignal): Promise<void> {
  signal.throwIfAborted();
  await new Promise<void>((resolve) => {
    const callOff = clock.after(ms, done);
    signal.addEventListener('abort', done, { once: true });
    function done(): void {
      callOff();
      signal.removeEventListener('abort', done);
      resolve();
    }
  });
  signal.throwIfAborted();
}

function watched(database: Database, { during }: Activity): Database {
  return {
    ...database,
    query: (...given) => during(() => database.query(...given)),
    transaction: (...given) => during(() => database.transaction(...given)),
  };
}

type Means = KommoTestWorld & { readonly clock: VirtualClock };

async function openLive(world: Means, seed: number): Promise<Live> {
  const { owner, clock } = world;
  const random = createRandom(seed, 'what happens');
  const activity = createActivity();
  const by = world.talker({ config: { requestsPerSecond: 1_000 }, limits: LIMITS });
  const { kommo, connection } = await world.fresh(by);
  const metrics = createMetrics('test');
  const time = createTime(clock, random);
  let happens: Happens = {};
  let mayBePaused = false;
  const passPauses = createPauses(owner, clock);
  const means = watchMeans({ means: by.means, activity, time, clock }, (status) => {
    mayBePaused ||= status === 429 || status === 403;
    if (!happens.during) return;
    happens.during();
    clock.advance(random.below(1_500));
  });
  const { log } = by.means;
  const database = means.database;
  const workerMeans = { databaseUrl: world.ingestUrl, database, kommo: means, log };
  const worker = new KommoWorker({ ...workerMeans, clock: time, metrics });
  let running: { stop(): Promise<void> } | undefined;
  const lost: string[] = [];
  const start = async (): Promise<void> => {
    const lease = await leaseOf(owner, connection);
    running = worker.kind.start(lease, () => void lost.push('the lease was lost'));
  };
  const step = async (ms: number): Promise<void> => {
    await activity.over();
    if (lost.length > 0) throw new Error(lost.join());
    if (mayBePaused && clock.now() % PAUSES_EVERY_MS < ms) mayBePaused = await passPauses();
    clock.advance(ms);
  };
  const run: Live['run'] = async (seconds, given = {}) => {
    for (let second = 0; second < seconds; second++) {
      happens = given;
      await step(1_000);
      happens.between?.();
    }
    happens = {};
    await activity.over();
  };
  const live: Live = {
    kommo,
    connection,
    random,
    metrics,
    start: async () => {
      worker.start(() => undefined);
      await start();
    },
    follow: (kommoIds) => follow(live, owner, kommoIds),
    run,
    until: async (check, { seconds, says }) => {
      for (let passed = 0; passed < seconds; passed += CHECKED_EVERY_SECONDS) {
        await run(CHECKED_EVERY_SECONDS);
        if (await check()) return;
      }
      throw new Error(`not within ${seconds} s: ${says()}`);
    },
    restart: async () => {
      await running?.stop();
      await start();
    },
    stop: async () => {
      await running?.stop();
      await worker.stop();
    },
  };
  return live;
}

function createTime(clock: VirtualClock, random: Random): Clock {
  // Our clock is not Kommo's.
  const skewMs = random.below(240_000) - 120_000;
  return {
    now: () => clock.now() + skewMs,
    elapsed: () => clock.now(),
    sleep: (ms, signal) => sleepBy(clock, ms, signal),
    random: () => random.next(),
  };
}

type Watched = { means: KommoMeans; activity: Activity; time: Clock; clock: VirtualClock };

/** The means of a worker, with an eye on whether it is busy. */
function watchMeans(
  { means, activity, time, clock }: Watched,
  onAnswer: (status: number | undefined) => void,
): KommoMeans {
  const { http, limiter } = means;
  const { during } = activity;
  return {
    ...means,
    database: watched(means.database, activity),
    http: {
      ...http,
      send: (request) =>
        during(async () => {
          const result = await http.send(request);
          onAnswer(result.kind === 'answered' ? result.answer.status : undefined);
          return result;
        }),
    },
    limiter: {
      acquire: (wish) => during(() => limiter.acquire(wish)),
      rest: (seconds) => during(() => limiter.rest(seconds)),
      shutOut: () => during(() => limiter.shutOut()),
    },
    now: () => time.now(),
    random: () => time.random(),
    sleep: (ms, signal) => sleepBy(clock, ms, signal),
  };
}

async function leaseOf(owner: Database, { id }: Connection) {
  const resource = `kommo:${id}`;
  const [row] = await owner.query(sql`
    insert into private.ingest_leases as lease (resource, owner, fence) values (${resource}, gen_random_uuid(), 1)
    on conflict (resource) do update set owner = excluded.owner, fence = lease.fence + 1
    returning owner, fence`);
  return { resource, owner: row?.['owner'] ?? '', fence: Number(row?.['fence']) };
}

/**
 * Pauses that Kommo asks for end by the database's clock, which does not know of ours: one that is over by ours is taken
 * away, its slow start too. Gives what is to be asked every few seconds while there may be any: whether there still is.
 */
function createPauses(owner: Database, clock: VirtualClock): () => Promise<boolean> {
  const ends = new Map<string, number>();
  return async () => {
    const rows = await owner.query(sql`
      select bucket || ' ' || times as name, bucket,
        extract(epoch from paused_until - clock_timestamp()) * 1000 as left_ms
      from private.kommo_pauses`);
    for (const row of rows) {
      const name = row['name'] ?? '';
      const endsAtMs = ends.get(name) ?? clock.now() + Number(row['left_ms']);
      ends.set(name, endsAtMs);
      if (clock.now() < endsAtMs) continue;
      await owner.query(sql`delete from private.kommo_pauses where bucket = ${row['bucket']}`);
      ends.delete(name);
    }
    return ends.size > 0;
  };
}

async function follow(live: Live, owner: Database, kommoIds: readonly number[]): Promise<void> {
  const { accountId, id: connectionId } = live.connection;
  const find = () =>
    owner.query(sql`
      select id from public.kommo_pipelines
      where account_id = ${accountId} and connection_id = ${connectionId} and kommo_id = any(${[...kommoIds]}::bigint[])`);
  await live.until(async () => (await find()).length === kommoIds.length, {
    seconds: 600,
    says: () => 'the pipelines are found',
  });
  const connectedIds = (await find()).map((row) => Number(row['id']));
  await owner.transaction((tx) =>
    chooseKommoPipelines(tx, { accountId, connectionId, connectedIds }),
  );
}
