import { isDeepStrictEqual } from 'node:util';
import type { Database } from '../../platform/postgres.ts';
import type { SoakAccount } from './accounts.ts';
import { SoakClient, type ClientOptions } from './client.ts';
import { readBecauseOf } from './readers.ts';
import type { Tally } from './tally.ts';
import { FEED_TABLES, readTruth, type Row, type Rows } from './truth.ts';
import type { Means } from './versions.ts';

type Options = Means & {
  readonly truth: Database;
  readonly accounts: readonly SoakAccount[];
  readonly tally: Tally;
};

export type Crowd = {
  readonly clients: readonly SoakClient[];
  /** Those that do nothing by themselves that would cut them off. */
  steady(): SoakClient[];
  /** No more drops and dawdling: everybody comes to rest. */
  calm(): void;
  /** Everybody at his habits again. */
  stir(): void;
  close(): void;
};

const KINDS = ['steady', 'resuming', 'slow', 'killed'] as const;
/** Every so many versions that arrive are read. */
const READ_EVERY = 5;

/** For every account clients of each kind, by turns on a replicator's feed and on a gateway's. */
export function openCrowd(options: Options): Crowd {
  const { accounts, random } = options;
  const clients: SoakClient[] = [];
  const habits: { kind: (typeof KINDS)[number]; at: number; again: () => SoakClient }[] = [];
  accounts.forEach((account, index) => {
    KINDS.forEach((kind, number) => {
      // Small accounts have fewer: one kind each on either feed is enough.
      if (index > 1 && number % 2 === index % 2) return;
      const where = (index + number) % 2 === 0 ? 'replicator' : 'gateway';
      const again = (): SoakClient => openClient(options, account, { kind, where });
      habits.push({ kind, at: clients.length, again });
      clients.push(again());
    });
  });
  let isCalm = false;
  const act = (): void => {
    if (isCalm) return;
    for (const { kind, at, again } of habits) {
      const client = clients[at];
      if (kind === 'resuming' && random(8) === 0) client?.drop();
      if (kind === 'slow' && random(4) === 0) client?.dawdle(200 + random(1_500));
      if (kind !== 'killed' || random(30) > 0) continue;
      client?.close();
      options.tally.add('clients born anew');
      clients[at] = again();
    }
  };
  const timer = setInterval(act, 400);
  return {
    clients,
    steady: () =>
      habits.filter(({ kind }) => kind === 'steady').flatMap(({ at }) => clients[at] ?? []),
    calm: () => {
      isCalm = true;
    },
    stir: () => {
      isCalm = false;
    },
    close: () => {
      clearInterval(timer);
      for (const client of clients) client.close();
    },
  };
}

function openClient(
  options: Options,
  account: SoakAccount,
  { kind, where }: { kind: string; where: 'replicator' | 'gateway' },
): SoakClient {
  const { world, truth, rest, ledger, tally, random, accounts } = options;
  const feeds = world.processes.filter(({ role }) => role === where);
  let turn = random(feeds.length);
  let arrived = 0;
  const snapshot: ClientOptions['snapshot'] = async (tables) => {
    const { cursor } = await rest(account.token, 'GET /api/tags?limit=1');
    if (cursor === undefined) throw new Error('no cursor yet');
    return { cursor, tables: await readTruth(truth, account.id, tables) };
  };
  return new SoakClient({
    name: `${kind} client of account ${account.id} on a ${where}`,
    accountId: account.id,
    token: account.token,
    tables: FEED_TABLES,
    // Of several replicators one has a feed; of gateways each.
    nextUrl: () => feeds[turn++ % feeds.length]?.running.url.replace('http', 'ws') ?? '',
    snapshot,
    ledger,
    tally,
    foreign: accounts.filter((other) => other !== account).map(({ mark }) => mark),
    onVersion: (table, id, version) => {
      if (++arrived % READ_EVERY === 0)
        void readBecauseOf(options, account, { table, id, version }).catch(() => undefined);
    },
  });
}

/** Where the client's copy differs from Postgres; undefined where it does not. */
export function differenceOf(
  client: SoakClient,
  truth: ReadonlyMap<string, Rows>,
): string | undefined {
  for (const [table, rows] of truth) {
    const copy = client.tables.get(table);
    const ids = new Set([...rows.keys(), ...(copy?.keys() ?? [])]);
    for (const id of ids) {
      const [mine, theirs] = [copy?.get(id), rows.get(id)];
      if (!isDeepStrictEqual(mine, theirs)) return `${table} ${id}: ${describe(mine, theirs)}`;
    }
  }
  return undefined;
}

/** Of two rows that differ: the columns that do. */
function describe(mine: Row | undefined, theirs: Row | undefined): string {
  if (!mine) return `absent, in Postgres ${JSON.stringify(theirs).slice(0, 300)}`;
  if (!theirs) return `absent in Postgres, the client has ${JSON.stringify(mine).slice(0, 300)}`;
  return [...new Set([...Object.keys(mine), ...Object.keys(theirs)])]
    .filter((name) => !isDeepStrictEqual(mine[name], theirs[name]))
    .map((name) => `${name} ${shorten(mine[name])} is ${shorten(theirs[name])} in Postgres`)
    .join(', ');
}

function shorten(value: unknown): string {
  return value === undefined ? 'absent' : JSON.stringify(value).slice(0, 120);
}
