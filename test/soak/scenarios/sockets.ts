import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { SOCKET_BACKLOG_BYTES_MAX } from '../../../domain/feed-protocol.ts';
import { sleep } from '../../../platform/backoff.ts';
import { BACKLOG_BYTES_MAX } from '../../../replicator/feed/limits.ts';
import { eventually } from '../../support/eventually.ts';
import type { CrowdOrder, CrowdReport } from './crowd-orders.ts';
import { MemoryWatch, percentile, residentMbOf } from './memory.ts';
import { bounded, exactly, noted, type Figure, type Scenario } from './scenario.ts';
import { openStand, type Account, type Stand } from './stand.ts';
import { countDifferences, readNames, Watcher } from './watcher.ts';

const SOCKETS = 1_000;
const STALLED_SHARE = 0.8;
const HEALTHY = 10;
const USUAL_MS = 10_000;
/** As usual: a row here and there. */
const WRITE_EVERY_MS = 50;
/** Then more than kernel and server hold for a socket, and less than the account's log keeps for those who resume. */
const FLOOD_COMMITS = 250;
const FLOOD_ROWS = 5;
const NOTES_CHARS = 9_000;
const FLOOD_EVERY_MS = 80;
const MEBIBYTE = 1024 * 1024;

/**
 * A thousand sockets of one account that read nothing or slowly, among healthy ones of the same account and of another. They are
 * closed with 4408 and cost the server no more than its budget; nobody else notices; all of them resume to equality.
 */
export const sockets: Scenario = async ({ scale, say }) => {
  const stand = await openStand();
  const crowd = startCrowd();
  let writers: Writers | undefined;
  try {
    const url = `${stand.replicator.url.replace('http', 'ws')}/feed`;
    const [account, other] = [await stand.account('crowded'), await stand.account('other')];
    const healthy = await Promise.all(
      [account, other].flatMap((each) =>
        Array.from({ length: HEALTHY }, () =>
          new Watcher({ url, account: each, table: 'contacts' }).start(),
        ),
      ),
    );
    writers = startWriters(stand, [account, other]);
    await sleep(USUAL_MS / 2, new AbortController().signal);
    takeDelays(healthy);
    await sleep(USUAL_MS, new AbortController().signal);
    const usual = takeDelays(healthy);
    const before = residentMbOf(stand.replicator.pid);
    const count = Math.round(SOCKETS * scale);
    const stalled = Math.round(count * STALLED_SHARE);
    crowd.order({ kind: 'connect', url, account, stalled, slow: count - stalled });
    await crowd.next('connected');
    say(
      `${count} sockets are there, ${stalled} of them read nothing; usual p99 ${percentile(usual, 0.99).toFixed(1)} ms`,
    );
    const memory = new MemoryWatch({ replicator: stand.replicator.pid });
    for (let n = 1; n <= FLOOD_COMMITS; n++) {
      await insert(stand, account.id, {
        name: `flood ${n}`,
        rows: FLOOD_ROWS,
        chars: NOTES_CHARS,
      });
      await sleep(FLOOD_EVERY_MS, new AbortController().signal);
    }
    say('flooded');
    await eventually(async () => (await readSlowCloses(stand)) >= stalled, {
      timeoutMs: 120_000,
      everyMs: 500,
      says: 'everybody who stalls is closed with 4408',
    }).catch((error: unknown) => say(String(error)));
    const during = takeDelays(healthy);
    say(
      `closed; others p99 ${percentile(during, 0.99).toFixed(1)} ms, replicator ${Math.round(before)} to ${Math.round(memory.mostMb('replicator'))} MB`,
    );
    crowd.order({ kind: 'wake' });
    await writers.stop();
    const figures = await compare({ stand, crowd, account, other, healthy, stalled });
    memory.stop();
    const grown = memory.mostMb('replicator') - before;
    // Beside what waits: the sockets themselves, their sessions, and as much again for what the allocator does not give back.
    const budgetMb = Math.min(BACKLOG_BYTES_MAX, count * SOCKET_BACKLOG_BYTES_MAX) / MEBIBYTE;
    return [
      noted(
        'usual delivery, p50 / p99',
        `${percentile(usual, 0.5).toFixed(1)} / ${percentile(usual, 0.99).toFixed(1)} ms`,
      ),
      bounded('others while they stall: p99', percentile(during, 0.99), {
        below: 1_000,
        unit: 'ms',
      }),
      bounded('replicator grows', grown, { below: budgetMb * 2, unit: 'MB' }),
      ...figures,
    ];
  } finally {
    crowd.stop();
    await writers?.stop();
    await stand.close();
  }
};

type Crowd = {
  order(order: CrowdOrder): void;
  next<K extends CrowdReport['kind']>(kind: K): Promise<CrowdReport & { kind: K }>;
  stop(): void;
};

function startCrowd(): Crowd {
  const child: ChildProcess = fork(new URL('./crowd-process.mjs', import.meta.url).pathname);
  return {
    order: (order) => void child.send(order),
    next: async (kind) => {
      const [message] = (await once(child, 'message')) as [CrowdReport];
      if (message.kind !== kind) throw new Error(`the crowd says ${message.kind}, not ${kind}`);
      return message as CrowdReport & { kind: typeof kind };
    },
    stop: () => child.disconnect(),
  };
}

function takeDelays(watchers: readonly Watcher[]): number[] {
  return watchers.flatMap((watcher) => watcher.delays.splice(0));
}

async function readSlowCloses(stand: Stand): Promise<number> {
  const text = await (await fetch(`${stand.replicator.url}/metrics`)).text();
  return Number(/^clarin_feed_slow_closes_total\S* (\d+)/m.exec(text)?.[1] ?? 0);
}

type Writers = { stop(): Promise<void> };

function startWriters(stand: Stand, accounts: readonly Account[]): Writers {
  const ending = new AbortController();
  const write = async ({ id }: Account): Promise<void> => {
    for (let n = 1; !ending.signal.aborted; n++) {
      await insert(stand, id, { name: `row ${n}` });
      await sleep(WRITE_EVERY_MS, ending.signal).catch(() => undefined);
    }
  };
  const running = accounts.map(write);
  return {
    stop: async () => {
      ending.abort();
      await Promise.all(running);
    },
  };
}

type Written = { name: string; rows?: number; chars?: number };

const insert = (stand: Stand, accountId: number, { name, rows = 1, chars = 10 }: Written) =>
  stand.sql(
    `insert into contacts (account_id, name, notes)
     select $1, $2, repeat('x', $3) from generate_series(1, $4::int)`,
    [accountId, name, chars, rows],
  );

type Outcome = {
  stand: Stand;
  crowd: Crowd;
  account: Account;
  other: Account;
  healthy: readonly Watcher[];
  stalled: number;
};

async function compare(outcome: Outcome): Promise<Figure[]> {
  const { stand, crowd, account, other, healthy, stalled } = outcome;
  for (const { id } of [account, other]) await insert(stand, id, { name: 'the last' });
  const truth = await readNames(stand, account.id, 'contacts');
  // The crowd came when some rows were there already: what it was told of is what came after.
  const flood = truth.filter(([, name]) => !name.startsWith('row'));
  crowd.order({ kind: 'compare', last: 'the last', truth: flood });
  const { closes, different, faults, readAgain } = await crowd.next('compared');
  const truths = [truth, await readNames(stand, other.id, 'contacts')];
  let unequal = 0;
  for (const [index, watcher] of healthy.entries()) {
    const own = truths[index < HEALTHY ? 0 : 1] ?? [];
    await eventually(() => countDifferences(own, watcher.rows) === 0).catch(() => unequal++);
    watcher.close();
  }
  return [
    exactly('stalled sockets closed with 4408', Math.min(stalled, closes['4408'] ?? 0), stalled),
    noted('sockets by code they were closed with', JSON.stringify(closes)),
    noted('told to read again', String(readAgain)),
    exactly('slow sockets that differ from Postgres', different, 0),
    exactly('faults of order and wholeness', faults.length === 0 ? 0 : faults.join('; '), 0),
    exactly('healthy sockets that differ', unequal, 0),
    exactly('healthy sockets closed', healthy.flatMap((each) => each.closes).length, 0),
  ];
}
