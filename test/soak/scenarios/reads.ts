import { setMaxListeners } from 'node:events';
import { Worker } from 'node:worker_threads';
import { Redis } from 'ioredis';
import { sleep } from '../../../platform/backoff.ts';
import { eventually } from '../../support/eventually.ts';
import { spawnRole, type RunningRole } from '../../support/spawn-role.ts';
import { shareBoard, VersionBoard } from './reads-board.ts';
import {
  READS_DONE,
  READS_END,
  type ReadCounts,
  type ReadEntry,
  type ReadsOrder,
  type ReadsReport,
} from './reads-orders.ts';
import { KEYS_PER_ACCOUNT, layAccount, writeOn } from './reads-writers.ts';
import { exactly, noted, type Figure, type Scenario, type ScenarioOptions } from './scenario.ts';
import { openStand, type Stand } from './stand.ts';

const HITS = 10_000_000;
const THREADS = 2;
/** Of these every other one has a single writer: there every commit is known exactly. */
const ACCOUNTS = 12;
const WRITERS_PER_SHARED_ACCOUNT = 3;
/** Commits follow the reads, whatever the machine is up to: most reads are hits, and every entry changes again and again. */
const READS_PER_COMMIT = 150;
/** In a small run: it is over before the same rows have changed often. */
const READS_PER_COMMIT_SMALL = 30;
const SMALL = 0.05;
const TURN_MS = 50;
/** Breaks in a whole run, at the full size and in a small one: they are spread over the reads. */
const BREAKS = 48;
const BREAKS_LEAST = 4;
const STALE_SHOWN = 10;
/** Shorter than a lease lives: readers go on trusting the cache meanwhile. */
const HELD_MS = 1_500;

type Options = ScenarioOptions & Pick<ReadsOrder, 'without'>;
type Place = {
  readonly stand: Stand;
  readonly redis: Redis;
  readonly say: (line: string) => void;
  replicas: RunningRole[];
};

/**
 * Cached reads, each compared with what its watermark stands for, while rows, rows embedded elsewhere and lists change,
 * fills come late, replicators are killed and stopped, commits hang behind their WAL record and Redis is flushed. What
 * counts are hits: what Postgres answers is compared too.
 */
export const reads: Scenario = (options) => runReads(options);

/** `without`: see ReadsOrder. The figure of stale reads then says what was found. */
export async function runReads({ scale, say, without }: Options): Promise<readonly Figure[]> {
  const stand = await openStand();
  const redis = new Redis(stand.redis.url, { maxRetriesPerRequest: 1 });
  redis.on('error', () => undefined);
  const place: Place = { stand, redis, say, replicas: [stand.replicator] };
  const writing = new AbortController();
  const progress = new SharedArrayBuffer(8);
  const end = (): void => void Atomics.store(new Int32Array(progress), READS_END, 1);
  try {
    place.replicas.push(await spawnReplicator(stand));
    const { board, memory, entries, grounds, comesAndGoes } = await lay(stand);
    const { signal } = writing;
    const readsPerCommit = scale < SMALL ? READS_PER_COMMIT_SMALL : READS_PER_COMMIT;
    const turn = takeTurns(progress, readsPerCommit, signal);
    const writers = grounds.flatMap((ground, at) => {
      const count = at % 2 === 0 ? 1 : WRITERS_PER_SHARED_ACCOUNT;
      const common = { url: stand.ownerUrl, board, ground, writers: count, turn, signal };
      return Array.from({ length: count }, (_, which) => writeOn(common, which));
    });
    const { DATABASE_URL: databaseUrl = '' } = stand.environment;
    const threads = startThreads({
      databaseUrl,
      redisUrl: stand.redis.url,
      board: memory,
      entries,
      comesAndGoes,
      progress,
      without,
    });
    const startedAt = performance.now();
    const broken = await breakUntil(place, threads, Math.round(HITS * scale));
    const tookS = (performance.now() - startedAt) / 1_000;
    writing.abort();
    const commits = (await Promise.all(writers)).reduce((sum, count) => sum + count, 0);
    end();
    await threads.ended;
    const verified = await verify(stand);
    return figuresOf({ threads, broken, commits, tookS, verified });
  } finally {
    writing.abort();
    end();
    redis.disconnect();
    await Promise.all(place.replicas.map((replica) => replica.stop()));
    await stand.close();
  }
}

function takeTurns(
  progress: SharedArrayBuffer,
  readsPerCommit: number,
  signal: AbortSignal,
): () => Promise<void> {
  const done = new Int32Array(progress);
  let turns = 0;
  setMaxListeners(0, signal);
  return async () => {
    do await sleep(Math.random() * TURN_MS, signal);
    while (turns * readsPerCommit > Atomics.load(done, READS_DONE));
    turns++;
  };
}

/** It waits for the lock of the one that leads: nobody waits for it. */
function spawnReplicator(stand: Stand): Promise<RunningRole> {
  return spawnRole('replicator', stand.environment, { until: 'nothing' });
}

async function lay(stand: Stand) {
  const sql = (text: string, values: readonly unknown[]) => stand.sql(text, values);
  const memory = shareBoard(ACCOUNTS * KEYS_PER_ACCOUNT);
  const board = new VersionBoard(memory);
  const grounds = [];
  const entries: ReadEntry[] = [];
  for (let n = 0; n < ACCOUNTS; n++) {
    const { id: accountId } = await stand.account(`reads-${n}`);
    await stand.sql('select clarin.seed_account_defaults($1)', [accountId]);
    const ground = await layAccount(sql, board, { accountId, first: n * KEYS_PER_ACCOUNT });
    grounds.push(ground);
    entries.push(...ground.entries);
  }
  const keys = grounds.flatMap((ground) => ground.keys);
  const comesAndGoes = new Set(keys.filter((key) => key.comesAndGoes).map(({ key }) => key));
  const [row] = await stand.sql(`select (pg_current_wal_insert_lsn() - '0/0')::text as bytes`);
  for (const { key } of keys) board.settle(key, 1, BigInt(String(row?.['bytes'])));
  // The first of them are read most: some of every account.
  entries.sort((one, other) => ((one.keys[0] ?? 0) % 47) - ((other.keys[0] ?? 0) % 47));
  return { board, memory, grounds, entries, comesAndGoes };
}

type Threads = {
  readonly counts: () => ReadCounts;
  readonly stale: readonly string[];
  readonly staleCount: () => number;
  readonly rejected: readonly string[];
  readonly ended: Promise<unknown>;
};

function startThreads(order: ReadsOrder): Threads {
  const last: ReadCounts[] = [];
  const stale: string[] = [];
  const rejected: string[] = [];
  let staleCount = 0;
  const follow = (at: number): Promise<void> =>
    new Promise((resolve, reject) => {
      const worker = new Worker(new URL('./reads-process.mjs', import.meta.url), {
        workerData: order,
      });
      worker.on('message', (report: ReadsReport) => {
        if (report.kind === 'stale') {
          staleCount++;
          if (stale.length < STALE_SHOWN) stale.push(report.says);
          return;
        }
        last[at] = report.counts;
        if (report.kind === 'ended') rejected.push(report.rejected);
      });
      worker.once('error', reject);
      worker.once('exit', () => resolve());
    });
  const ended = Promise.all(Array.from({ length: THREADS }, (_, at) => follow(at)));
  ended.catch(() => undefined);
  return {
    counts: () => {
      const sum: ReadCounts = {
        hits: 0,
        misses: 0,
        bypasses: 0,
        markers: 0,
        exact: 0,
        slowFills: 0,
      };
      for (const counts of last)
        for (const name of Object.keys(sum) as (keyof ReadCounts)[]) sum[name] += counts[name];
      return sum;
    },
    stale,
    staleCount: () => staleCount,
    rejected,
    ended,
  };
}

type Break = { readonly name: string; run(place: Place): Promise<unknown> };

const BREAK_KINDS: readonly Break[] = [
  { name: 'commits held behind their WAL record', run: (place) => holdCommits(place) },
  { name: 'Redis flushed', run: ({ redis }) => redis.flushall() },
  {
    name: 'replicator killed',
    run: async (place) => {
      const [first, ...rest] = place.replicas;
      first?.kill('SIGKILL');
      place.replicas = [...rest, await spawnReplicator(place.stand)];
    },
  },
  { name: 'commits held behind their WAL record', run: (place) => holdCommits(place) },
  {
    name: 'replicator stopped for 4 s',
    run: async ({ replicas }) => {
      const [leader] = replicas;
      leader?.kill('SIGSTOP');
      await pause(4_000);
      leader?.kill('SIGCONT');
    },
  },
];

/** What is in the WAL is not visible until they are let go: hazard H8, for every commit of that time. */
async function holdCommits({ stand }: Place): Promise<void> {
  for (const name of ['nobody', '']) {
    await stand.sql(`alter system set synchronous_standby_names = '${name}'`);
    await stand.sql('select pg_reload_conf()');
    await pause(HELD_MS);
  }
}

/** Breaks something again and again, evenly spread, until so many hits are compared. */
async function breakUntil(
  place: Place,
  threads: Threads,
  hits: number,
): Promise<Map<string, number>> {
  const broken = new Map<string, number>();
  const breaks = Math.max(BREAKS_LEAST, Math.round((BREAKS * hits) / HITS));
  for (let n = 0; n < breaks; n++) {
    await untilHits(place, threads, ((n + 0.5) / breaks) * hits);
    const kind = BREAK_KINDS[n % BREAK_KINDS.length];
    if (!kind) continue;
    await kind.run(place);
    broken.set(kind.name, (broken.get(kind.name) ?? 0) + 1);
    const { hits: done, misses, bypasses } = threads.counts();
    place.say(
      `${kind.name}; ${done} hits, ${misses} misses, ${bypasses} bypasses, ${threads.staleCount()} stale`,
    );
  }
  await untilHits(place, threads, hits);
  return broken;
}

async function untilHits(_place: Place, threads: Threads, hits: number): Promise<void> {
  const isDone = (): boolean => threads.counts().hits >= hits;
  const failed = threads.ended.then(() => Promise.reject(new Error('a reader ended')));
  failed.catch(() => undefined);
  await Promise.race([
    eventually(isDone, { everyMs: 50, timeoutMs: 900_000, says: `${hits} hits` }),
    failed,
  ]);
}

async function verify(stand: Stand): Promise<number | null> {
  const run = await spawnRole('verify', stand.environment, { until: 'nothing' });
  return (await run.exited).code;
}

function pause(ms: number): Promise<void> {
  return sleep(ms, new AbortController().signal);
}

type Outcome = {
  threads: Threads;
  broken: ReadonlyMap<string, number>;
  commits: number;
  tookS: number;
  verified: number | null;
};

function figuresOf({ threads, broken, commits, tookS, verified }: Outcome): Figure[] {
  const { hits, misses, bypasses, markers, exact, slowFills } = threads.counts();
  const show = (count: number): string => count.toLocaleString('en');
  const perSecond = (count: number): string => `${show(Math.round(count / tookS))}/s`;
  return [
    noted(
      'cached reads compared (hits)',
      `${show(hits)}, ${perSecond(hits)}, in ${Math.round(tookS)} s`,
    ),
    noted('misses and bypasses, compared too', `${show(misses)}, ${show(bypasses)}`),
    noted('versions compared, of these by exact commit', `${show(markers)}, ${show(exact)}`),
    noted('commits meanwhile', `${show(commits)}, ${perSecond(commits)}`),
    noted('fills that came late', show(slowFills)),
    noted('fills refused', threads.rejected.join('; ') || 'none'),
    noted('broken meanwhile', [...broken].map(([name, times]) => `${name}: ${times}`).join('; ')),
    exactly('stale reads', threads.staleCount(), 0),
    ...threads.stale.map((says) => noted('stale', says)),
    exactly('clarin verify at the end: exit code', String(verified), '0'),
  ];
}
