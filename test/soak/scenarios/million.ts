import { sleep } from '../../../platform/backoff.ts';
import { eventually } from '../../support/eventually.ts';
import { MemoryWatch, percentile, residentMbOf } from './memory.ts';
import { bounded, exactly, noted, type Figure, type Scenario } from './scenario.ts';
import { openStand, type Account, type Stand } from './stand.ts';
import { countDifferences, readNames, Watcher } from './watcher.ts';

const ROWS = 1_000_000;
const OTHERS = 8;
/** Of each of the other accounts: quick enough for a percentile, slow enough not to be the load itself. */
const WRITE_EVERY_MS = 40;
const USUAL_MS = 20_000;
const GROWTH_MB_MAX = 100;
const TIMES_USUAL_MAX = 5;

type Neighbour = { readonly account: Account; readonly watcher: Watcher };
type Place = {
  readonly stand: Stand;
  readonly large: Account;
  readonly neighbours: readonly Neighbour[];
  readonly shows: Watcher;
  readonly say: (line: string) => void;
};

/**
 * One transaction of a million rows in one account, while others write as usual: inserts, updates and deletes. Delivery
 * is from the moment of the commit, as Postgres dates it, to the client, and it is measured from the beginning of the
 * large transaction until everything of it has arrived: nothing dilutes it.
 */
export const million: Scenario = async ({ scale, say }) => {
  const rows = Math.round(ROWS * scale);
  const stand = await openStand();
  try {
    const feed = `${stand.replicator.url.replace('http', 'ws')}/feed`;
    const large = await stand.account('large');
    const neighbours: Neighbour[] = [];
    for (let n = 1; n <= OTHERS; n++) {
      const account = await stand.account(`other-${n}`);
      neighbours.push({ account, watcher: await new Watcher({ url: feed, account }).start() });
    }
    const shows = await new Watcher({ url: feed, account: large }).start();
    const place = { stand, large, neighbours, shows, say };
    const writers = startWriters(place);
    const usual = await measureUsual(place, Math.max(2_000, USUAL_MS * scale));
    say(
      `usual: p50 ${usual.p50.toFixed(1)} ms, p99 ${usual.p99.toFixed(1)} ms of ${usual.count} commits`,
    );
    const figures: Figure[] = [noted('usual delivery, p50 / p99', show(usual))];
    const steps: [string, string, unknown[]][] = [
      [
        'insert',
        `insert into tags (account_id, name) select $1, 'tag ' || n from generate_series(1, $2::int) as n`,
        [large.id, rows],
      ],
      ['update', `update tags set color = '#00ff00' where account_id = $1`, [large.id]],
      ['delete', `delete from tags where account_id = $1`, [large.id]],
    ];
    for (const [name, text, values] of steps)
      figures.push(...(await runStep(place, { name, text, values, usualP99: usual.p99 })));
    await writers.stop();
    figures.push(...(await compare(place)));
    figures.push(noted('replicator and Redis at the end', `${memoryOf(stand)}`));
    return figures;
  } finally {
    await stand.close();
  }
};

type Delivery = { p50: number; p99: number; most: number; count: number };
const show = ({ p50, p99 }: Delivery): string => `${p50.toFixed(1)} / ${p99.toFixed(1)} ms`;

async function measureUsual(place: Place, forMs: number): Promise<Delivery> {
  // The first seconds are those of a program that is not compiled yet.
  await sleep(forMs / 2, new AbortController().signal);
  takeDelays(place);
  await sleep(forMs, new AbortController().signal);
  return takeDelays(place);
}

/** What the other accounts' clients saw since the last call. */
function takeDelays({ neighbours }: Place): Delivery {
  const delays = neighbours.flatMap(({ watcher }) => watcher.delays.splice(0));
  return {
    p50: percentile(delays, 0.5),
    p99: percentile(delays, 0.99),
    most: percentile(delays, 1),
    count: delays.length,
  };
}

type Step = { name: string; text: string; values: unknown[]; usualP99: number };

async function runStep(place: Place, { name, text, values, usualP99 }: Step): Promise<Figure[]> {
  const { stand, shows, say } = place;
  const [replicator, redis] = [stand.replicator.pid, stand.redis.pid];
  const before = { replicator: residentMbOf(replicator), redis: residentMbOf(redis) };
  const watch = new MemoryWatch({ replicator, redis });
  takeDelays(place);
  const bulks = shows.bulks;
  const startedAt = performance.now();
  await stand.sql(text, values);
  const committedAt = performance.now();
  await eventually(() => shows.bulks > bulks, { timeoutMs: 300_000, says: 'the marker arrives' });
  const arrivedAt = performance.now();
  // What was committed before the marker has been delivered; its neighbours' clients may lag by what is in flight.
  await sleep(1_000, new AbortController().signal);
  watch.stop();
  const delivery = takeDelays(place);
  const grown = {
    replicator: watch.mostMb('replicator') - before.replicator,
    redis: watch.mostMb('redis') - before.redis,
  };
  const [took, arrival] = [committedAt - startedAt, arrivedAt - committedAt];
  say(
    `${name}: ${Math.round(took)} ms, marker ${Math.round(arrival)} ms after the commit, others p50 ` +
      `${delivery.p50.toFixed(1)} p99 ${delivery.p99.toFixed(1)} max ${delivery.most.toFixed(0)} ms of ${delivery.count}, ` +
      `replicator +${grown.replicator.toFixed(0)} MB, Redis +${grown.redis.toFixed(0)} MB`,
  );
  const unit = 'MB';
  return [
    noted(
      `${name}: the statement, then the marker`,
      `${(took / 1_000).toFixed(1)} s, ${Math.round(arrival)} ms`,
    ),
    exactly(`${name}: bulk markers`, shows.bulks - bulks, 1),
    bounded(`${name}: replicator grows`, grown.replicator, { below: GROWTH_MB_MAX, unit }),
    bounded(`${name}: Redis grows`, grown.redis, { below: GROWTH_MB_MAX, unit }),
    bounded(`${name}: others' p99 delivery (of ${delivery.count})`, delivery.p99, {
      below: usualP99 * TIMES_USUAL_MAX,
      unit: 'ms',
    }),
    noted(
      `${name}: others' p50, longest`,
      `${delivery.p50.toFixed(1)}, ${Math.round(delivery.most)} ms`,
    ),
  ];
}

type Writers = { stop(): Promise<void> };

/** Insert, update and delete of single rows in every other account. */
function startWriters({ stand, neighbours }: Place): Writers {
  const ending = new AbortController();
  const write = async ({ account }: Neighbour, offsetMs: number): Promise<void> => {
    await sleep(offsetMs, ending.signal);
    for (let n = 1; ; n++) {
      const name = `n ${n}`;
      if (n % 3 === 0)
        await stand.sql(`delete from tags where account_id = $1 and name = $2`, [
          account.id,
          `u ${n - 1}`,
        ]);
      else if (n % 3 === 2)
        await stand.sql(`update tags set name = $3 where account_id = $1 and name = $2`, [
          account.id,
          `n ${n - 1}`,
          `u ${n}`,
        ]);
      else
        await stand.sql(`insert into tags (account_id, name) values ($1, $2)`, [account.id, name]);
      await sleep(WRITE_EVERY_MS * (0.5 + Math.random()), ending.signal);
    }
  };
  const running = neighbours.map((neighbour, index) =>
    write(neighbour, (index * WRITE_EVERY_MS) / OTHERS).catch((error: unknown) => {
      if (!ending.signal.aborted) throw error;
    }),
  );
  return {
    stop: async () => {
      ending.abort();
      await Promise.all(running);
    },
  };
}

/** Nobody writes any more. */
async function compare({ stand, large, neighbours, shows }: Place): Promise<Figure[]> {
  if (shows.mustRead) await shows.read(stand);
  await stand.sql(`insert into tags (account_id, name) values ($1, 'afterwards')`, [large.id]);
  await eventually(() => [...shows.rows.values()].includes('afterwards'));
  let differences = countDifferences(await readNames(stand, large.id, 'tags'), shows.rows);
  let faults = shows.faults.length;
  for (const { account, watcher } of neighbours) {
    await eventually(
      async () => countDifferences(await readNames(stand, account.id, 'tags'), watcher.rows) === 0,
      {
        says: 'a neighbour shows what Postgres holds',
        timeoutMs: 20_000,
      },
    ).catch(() => differences++);
    faults += watcher.faults.length + watcher.closes.length;
    watcher.close();
  }
  shows.close();
  return [
    exactly('copies that differ from Postgres', differences, 0),
    exactly('faults of order, wholeness, closed sockets', faults, 0),
  ];
}

function memoryOf({ replicator, redis }: Stand): string {
  return `${Math.round(residentMbOf(replicator.pid))} MB, ${Math.round(residentMbOf(redis.pid))} MB`;
}
