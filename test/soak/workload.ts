import type { Random } from './faults/fault.ts';
import { readApplied } from './faults/seeing.ts';
import { mustParseLsn } from '../../domain/lsn.ts';
import type { SoakAccount } from './accounts.ts';
import type { Mutation } from './mutations.ts';
import { OPERATIONS } from './operations.ts';
import type { Tally } from './tally.ts';
import { writeVersion, type Means } from './versions.ts';
import type { OwnWorld } from './world.ts';

type Options = Means & {
  readonly accounts: readonly SoakAccount[];
  readonly mutations: ReadonlyMap<number, readonly Mutation[]>;
  readonly tally: Tally;
  readonly writers: number;
};

export type Workload = {
  /** Writers end after the transaction they are in; what is prepared is decided. */
  stop(): Promise<void>;
};

const TOTAL = OPERATIONS.reduce((sum, { weight }) => sum + weight, 0);
/** Behind by more than this, writers take their time; behind by far more, they wait, and the machine is not the test. */
const BEHIND_BYTES = 1024 * 1024;
const FAR_BEHIND_BYTES = 48 * 1024 * 1024;
const PAUSE_MS = 4;
const UNTRIED_EVERY = 400;

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** Writers at work on all accounts until told to stop. What fails because something was just broken is part of it. */
export function startWorkload(options: Options): Workload {
  const { world, accounts, random, tally } = options;
  let isOver = false;
  let behindBytes = 0;
  const watchBehind = async (): Promise<void> => {
    while (!isOver) {
      behindBytes = (await readBehind(world).catch(() => undefined)) ?? behindBytes;
      tally.note('WAL not applied yet, bytes', behindBytes);
      await pause(250);
    }
  };
  const breathe = async (): Promise<void> => {
    if (behindBytes > BEHIND_BYTES) await pause(60);
    while (!isOver && behindBytes > FAR_BEHIND_BYTES) await pause(100);
    await pause(PAUSE_MS);
  };
  const loop = async (work: (account: SoakAccount) => Promise<unknown>): Promise<void> => {
    while (!isOver) {
      const account = accounts[random(accounts.length)];
      if (account) await work(account).catch(() => pause(50));
      await breathe();
    }
  };
  const running = [
    watchBehind(),
    ...Array.from({ length: options.writers }, () => loop((account) => operate(options, account))),
    loop((account) => writeVersion(options, account)),
    loop((account) => writeVersion(options, account)),
    loop((account) => writeByRest(options, account)),
  ];
  return {
    stop: async () => {
      isOver = true;
      await Promise.all(running);
      await decidePrepared(world, random);
    },
  };
}

/** How much of the WAL has not come into Redis yet. */
async function readBehind(world: OwnWorld): Promise<number | undefined> {
  const applied = await readApplied(world);
  if (applied === undefined) return undefined;
  const [row] = await world.sql('select pg_current_wal_lsn() as lsn');
  return Math.max(0, Number(mustParseLsn(String(row?.['lsn'])) - applied));
}

/** By weight; now and then one that has not worked yet, so that none stays away by chance. */
function choose(random: Random, tally: Tally): (typeof OPERATIONS)[number] | undefined {
  const untried = OPERATIONS.find((one) => timesOf(one, tally) === 0);
  if (untried && random(UNTRIED_EVERY) === 0) return untried;
  let left = random(TOTAL);
  return OPERATIONS.find(({ weight }) => (left -= weight) < 0);
}

const timesOf = ({ name }: { name: string }, tally: Tally): number => tally.count(`work ${name}`);

/** What never came to a commit: the schema refuses it always, and nothing is tried by it. */
export function findNeverWorked(tally: Tally): string[] {
  const byRest = REST_WRITES.map((route) => ({ name: byRestOf(route) }));
  return [...OPERATIONS, ...byRest]
    .filter((one) => timesOf(one, tally) === 0)
    .map(({ name }) => {
      const refusals = tally
        .under(`refused ${name}: `)
        .map(([why, count]) => `${why} ${count} times`);
      return `${name} has never worked: ${refusals.join(', ') || 'it was not tried'}`;
    });
}

/** One transaction of one to three operations: committed, rolled back, or prepared and decided later. */
async function operate(options: Options, account: SoakAccount): Promise<void> {
  const { world, random, tally, accounts } = options;
  const client = await world.pool.connect();
  let isWhole = false;
  const names: string[] = [];
  try {
    await client.query('begin');
    await client.query(`set local statement_timeout = '20s'; set local lock_timeout = '3s'`);
    const hand = {
      client,
      account,
      others: accounts.filter((other) => other !== account),
      mutations: options.mutations.get(account.id) ?? [],
      random,
    };
    const count = random(4) === 0 ? 3 : 1;
    for (let index = 0; index < count; index++) {
      const operation = choose(random, tally);
      if (!operation) continue;
      names.push(operation.name);
      // One that the schema refuses takes the others down only when it is alone.
      await client.query('savepoint operation');
      await operation.work(hand).catch(async (error: unknown) => {
        await client.query('rollback to savepoint operation');
        const { code, message } = error as { code?: string; message: string };
        tally.add(`refused ${operation.name}: ${code ?? message.slice(0, 60)}`);
        names.pop();
      });
    }
    const end = ENDS[random(ENDS.length)] ?? 'commit';
    if (end === 'prepare') await client.query(`prepare transaction 'soak ${random(1e9)}'`);
    else await client.query(end);
    tally.add(`transactions ${end}`);
    if (end !== 'rollback') for (const name of names) tally.add(`work ${name}`);
    isWhole = true;
  } finally {
    client.release(!isWhole);
  }
  if (random(4) === 0) await decidePrepared(world, random).catch(() => undefined);
}

const ENDS = [...Array<'commit'>(20).fill('commit'), 'rollback', 'rollback', 'prepare'] as const;

async function decidePrepared(world: OwnWorld, random: Random): Promise<void> {
  const rows = await world.sql(
    'select gid from pg_prepared_xacts where database = current_database()',
  );
  for (const row of rows) {
    const end = random(4) === 0 ? 'rollback' : 'commit';
    // Another writer may have decided it meanwhile.
    await world.sql(`${end} prepared '${String(row['gid'])}'`).catch(() => undefined);
  }
}

const REST_WRITES = [
  'POST /api/contacts',
  'PATCH /api/contacts',
  'POST /api/leads',
  'POST /api/tags',
  'DELETE /api/contacts',
] as const;

const byRestOf = (route: string): string => `${route} by the API`;

/** As the frontend writes: a contact, and some of what is done with it. */
async function writeByRest({ rest, random, tally }: Options, account: SoakAccount): Promise<void> {
  const name = `${account.mark} ${random(1e9)}`;
  const write = async (
    route: (typeof REST_WRITES)[number],
    { id, body }: { id?: number; body?: object },
  ): Promise<string> => {
    const path = id === undefined ? route : `${route}/${id}`;
    const { status, text } = await rest(account.token, path, body ? { body } : {});
    tally.add(`REST writes answered with ${status}`);
    const isDone = status >= 200 && status < 300;
    tally.add(isDone ? `work ${byRestOf(route)}` : `refused ${byRestOf(route)}: ${status}`);
    return text;
  };
  const made = await write('POST /api/contacts', { body: { name } });
  const id = (JSON.parse(made) as { data?: { id?: number } }).data?.id;
  if (id === undefined) return;
  const more = [
    () => write('PATCH /api/contacts', { id, body: { notes: name } }),
    () => write('POST /api/leads', { body: { contact_id: id, title: name } }),
    () => write('POST /api/tags', { body: { name } }),
    () => write('DELETE /api/contacts', { id }),
  ];
  for (const one of more) if (random(2) === 0) await one();
}
