import { sql } from '../../platform/sql.ts';
import { requestFullSync } from '../../server/commands/sync-kommo.ts';
import { openLiveWorld, type Live, type LiveWorld } from './kommo-live-world.ts';
import { differences, storedOf } from './kommo-stored.ts';
import { Ledger, tableOf, type TruthSetting } from './kommo-truth.ts';
import { drawFaults, drawWeather, stir, type Weather } from './kommo-weather.ts';
import { watchWal } from './wal-changes.ts';

/** A worker that reads a Kommo in which things happen, and what is to come of it. */
export type Play = {
  readonly world: LiveWorld;
  readonly live: Live;
  readonly weather: Weather;
  /** What is there, and how often each row of it has changed. */
  readonly ledger: Ledger;
  /** What was written since it was last asked, of the tables that people see and of those that remember how things looked. */
  readonly written: () => Promise<string[]>;
};

const COUNTED = [
  'leads',
  'contacts',
  'lead_tags',
  'contact_tags',
  'tags',
  'pipelines',
  'pipeline_stages',
];

const REMEMBERED = [
  'contact_identities',
  'kommo_pipelines',
  'kommo_leads',
  'kommo_contacts',
  'kommo_tags',
  'kommo_users',
];

type Options = {
  /** Default: what the seed says. */
  readonly weather?: Weather;
  readonly size?: { leads: number; contacts: number };
};

/** To be called by a hook; what it opens ends with the tests, but for `play.live`. */
export async function openPlay(seed: number, options: Options = {}): Promise<Play> {
  const world = await openLiveWorld(seed);
  const live = await world.open();
  const { kommo, random, connection } = live;
  const weather = options.weather ?? drawWeather(random);
  kommo.set(weather.settings);
  kommo.generate(
    options.size ?? { contacts: 60 + random.below(200), leads: 40 + random.below(300) },
  );
  const [member] = await world.owner.query(sql`
    select person.id, person.email
    from public.memberships as membership
    join public.users as person on person.id = membership.user_id
    where membership.account_id = ${connection.accountId}`);
  const email = member?.['email'] ?? '';
  kommo.users.update(kommo.users.first.id, { email: email.toUpperCase() });
  const pipelines = kommo.pipelines.list().map(({ id }) => id);
  const followed = pipelines.slice(0, 1 + random.below(2));
  const setting: TruthSetting = {
    followed: new Set(followed),
    members: new Map([[email.toLowerCase(), Number(member?.['id'])]]),
  };
  const wal = await watchWal(world.owner);
  const written = () => wal.takeRows([...COUNTED, ...REMEMBERED]);
  await live.start();
  await live.follow(followed);
  return { world, live, weather, ledger: new Ledger(kommo, setting), written };
}

/** Why Postgres is not what is over there, line by line. */
export async function differing({ world, live, ledger }: Play): Promise<string[]> {
  return differences(ledger, await storedOf(world.owner, live.connection));
}

/** Until it is. */
export async function untilEqual(play: Play, seconds: number): Promise<void> {
  let last: string[] = [];
  await play.live.until(
    async () => {
      last = await differing(play);
      return last.length === 0;
    },
    {
      seconds,
      says: () => `Postgres is what is in Kommo; differing:\n${last.slice(0, 8).join('\n')}`,
    },
  );
}

/**
 * What was written more often than it changed since it was last asked: leads and contacts of Kommo row by row, what hangs
 * on them together.
 */
export async function findExcess({ world, live, ledger, written }: Play): Promise<string[]> {
  const { accountId } = live.connection;
  const rows = await world.owner.query(sql`
    select 'leads ' || id as row, 'lead ' || kommo_id as key
    from public.leads where account_id = ${accountId} and kommo_id is not null
    union all
    select 'contacts ' || id, 'contact ' || kommo_id
    from public.contacts where account_id = ${accountId} and kommo_id is not null`);
  const keys = new Map(rows.map((row) => [row['row'] ?? '', row['key'] ?? '']));
  const groupOf = (key: string): string =>
    /^(lead|contact) \d+$/.test(key) ? key : `other ${tableOf(key)}`;
  const counts = new Map<string, number>();
  const count = (group: string, more: number): void =>
    void counts.set(group, (counts.get(group) ?? 0) + more);
  for (const row of await written()) {
    const [table = ''] = row.split(' ');
    if (COUNTED.includes(table)) count(keys.get(row) ?? `other ${table}`, 1);
  }
  for (const [key, changes] of ledger.take()) count(groupOf(key), -changes);
  // A stage that is gone over there goes here when the last lead has left it.
  if (ledger.hasLostStages) counts.delete('other pipeline_stages');
  return [...counts].flatMap(([group, more]) => (more > 0 ? [`${group}: ${more} too often`] : []));
}

/** Differs once everything was read anew. */
export async function readAt({ world, live }: Play): Promise<string> {
  const [row] = await world.owner.query(sql`
    select position from private.kommo_cursors
    where connection_id = ${live.connection.id} and kind = 'reconciled'`);
  return row?.['position'] ?? '';
}

export function untilRead(play: Play, before: string): Promise<void> {
  const check = async (): Promise<boolean> => (await readAt(play)) !== before;
  return play.live.until(check, { seconds: 3_600, says: () => 'everything is read' });
}

/** Everything is read once more: because a person wants it, or because nothing was read for two hours. */
export async function readEverything(play: Play): Promise<void> {
  const { world, live } = play;
  const before = await readAt(play);
  if (live.random.below(2) === 0) {
    const { accountId, id } = live.connection;
    await world.owner.transaction((tx) => requestFullSync(tx, { accountId, id }));
  } else {
    await live.run(15);
    world.clock.advance(2 * 3_600_000);
  }
  await untilRead(play, before);
}

/** Something happens over there in about one of so many seconds, to one row at a time or to more. */
export function happening(play: Play, { oneIn, isPlain }: { oneIn: number; isPlain: boolean }) {
  const { live, weather, ledger } = play;
  const { random, kommo } = live;
  return (): void => {
    if (random.below(oneIn) > 0) return;
    stir(kommo, random, { isPlain, isSilent: weather.isLossy && !isPlain });
    ledger.note();
  };
}

/** Whatever happens over there, on the way and to the worker. */
export async function storm(play: Play): Promise<void> {
  const { world, live } = play;
  const { subdomain } = live.kommo;
  for (const fault of drawFaults(live.random)) world.fake.faults.add({ ...fault, subdomain });
  const happens = {
    between: happening(play, { oneIn: 4, isPlain: false }),
    during: happening(play, { oneIn: 6, isPlain: false }),
  };
  for (let spell = 0; spell < 3; spell++) {
    await live.run(60 + live.random.below(40), happens);
    if (live.random.below(2) === 0) await live.restart();
  }
  for (const fault of world.fake.faults.list()) world.fake.faults.remove(fault.id);
}
