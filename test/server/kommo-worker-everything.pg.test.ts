import { beforeAll, describe, expect, test } from 'vitest';
import { sql } from '../../platform/sql.ts';
import type { TextRow } from '../../platform/postgres.ts';
import { disconnectKommo } from '../../server/commands/connect-kommo.ts';
import { cancelFullSync, requestFullSync } from '../../server/commands/sync-kommo.ts';
import {
  openBackground,
  stepBackground,
  type Background,
} from '../../server/ingest/kommo/background.ts';
import { readConnections } from '../../server/ingest/kommo/connections.ts';
import { passLeads } from '../../server/ingest/kommo/pass-updated.ts';
import type { Session } from '../../server/ingest/kommo/session.ts';
import { openWorkerWorld, type Account, type WorkerWorld } from './kommo-worker-world.ts';
import { watchWal } from './wal-changes.ts';

let world: WorkerWorld;

beforeAll(async () => {
  world = await openWorkerWorld();
});

const tick = (seconds: number): void => world.tick(seconds);

/** Steps until nothing is to be read as a whole any more. */
async function readAll(session: Session, background: Background): Promise<void> {
  for (let step = 0; step < 1_000; step++) {
    tick(1);
    const before = background.job;
    await stepBackground(session, background);
    if (!background.job && before) return;
  }
  throw new Error('it does not end');
}

async function look(session: Session): Promise<void> {
  const [connection] = await readConnections(world.owner, [session.scope.connectionId]);
  session.connection = connection!;
}

const rowOf = ({ connection }: Account): Promise<TextRow> =>
  world.one(sql`
    select full_sync_state, full_sync_done, full_sync_total, full_sync_at is not null as has_ended
    from public.kommo_connections where id = ${connection.id}`);

const count = async (statement: Promise<Map<number, TextRow>>): Promise<number> =>
  (await statement).size;

const ask = ({ connection }: Account) =>
  world.owner.transaction((tx) =>
    requestFullSync(tx, { accountId: connection.accountId, id: connection.id }),
  );

describe('reading everything', () => {
  test('begins by itself once pipelines are followed, says how far it is, and is not done again', async () => {
    const account = await world.account('all');
    const { kommo, connection } = account;
    kommo.generate({ leads: 900, contacts: 700 });
    const session = await world.session(connection);
    const background = openBackground(session, false);
    const states: (string | null | undefined)[] = [];
    for (let step = 0; step < 1_000; step++) {
      tick(1);
      await stepBackground(session, background);
      const { full_sync_state: state, full_sync_done: done } = await rowOf(account);
      states.push(`${state} ${done}`);
      if (state === 'done') break;
    }
    expect(states[0]).toBe('running 0');
    expect(states).toContain('running 250');
    expect(await rowOf(account)).toMatchObject({
      full_sync_state: 'done',
      full_sync_done: String(700 + 900),
      full_sync_total: String(700 + 900),
      has_ended: 't',
    });
    expect(await count(world.leads(connection))).toBe(900);
    expect(await count(world.contacts(connection))).toBe(700);
    // Of 700 rows 3 pages, of 900 rows 4, and one for the overlap.
    expect(world.asked(account, 'contacts')).toBe(3);
    expect(world.asked(account, 'leads')).toBeLessThanOrEqual(6);
    const wal = await watchWal(world.owner);
    await look(session);
    // The sweep, from now on.
    for (let step = 0; step < 25; step++) await stepBackground(session, background);
    expect(await wal.take()).toEqual({});
  });

  test('goes on where a killed worker was, and says so', async () => {
    const account = await world.account('all');
    const { kommo, connection } = account;
    kommo.generate({ leads: 1_200, contacts: 300 });
    const first = await world.session(connection);
    const background = openBackground(first, false);
    for (let step = 0; step < 6; step++) {
      tick(1);
      await stepBackground(first, background);
    }
    expect(background.job?.position).toMatchObject({ entity: 'lead' });
    const done = background.job!.position.done;
    const before = world.asked(account, 'contacts');
    const second = await world.session(connection);
    const resumed = openBackground(second, false);
    expect(resumed.job?.position.done).toBe(done);
    await readAll(second, resumed);
    expect(await count(world.leads(connection))).toBe(1_200);
    expect(await rowOf(account)).toMatchObject({ full_sync_state: 'done', full_sync_done: '1500' });
    // Contacts were read; only those that leads name and that are new would be asked for.
    expect(world.asked(account, 'contacts')).toBe(before);
  });

  test('is done when people ask for it, writes what differs, and marks what is gone', async () => {
    const account = await world.account('all');
    const { kommo, connection } = account;
    kommo.generate({ leads: 300, contacts: 300 });
    const session = await world.session(connection);
    const background = openBackground(session, false);
    await readAll(session, background);
    // What no pass is told of: the lists of these moments are not read.
    const [one, two, three] = [...kommo.leads.all()].map((row) => row.id);
    kommo.leads.update(one!, { name: 'Changed' });
    kommo.leads.delete(two!);
    kommo.leads.purge(two!);
    const unfollowed = kommo.pipelines.add({ name: 'Not followed', stages: [{ name: 'A' }] });
    kommo.leads.update(three!, { pipelineId: unfollowed.id });
    await ask(account);
    await look(session);
    const wal = await watchWal(world.owner);
    await readAll(session, background);
    const leads = await world.leads(connection);
    expect(leads.get(one!)?.['title']).toBe('Changed');
    expect(leads.get(two!)).toMatchObject({ is_deleted: 't', is_trashed: 't' });
    expect(leads.get(three!)).toMatchObject({ is_archived: 't', is_deleted: 'f' });
    const { leads: changed } = await wal.take();
    expect(changed).toBe(3);
    expect(await rowOf(account)).toMatchObject({ full_sync_state: 'done' });
  });

  test('is given up when people say so, and does not begin again by itself', async () => {
    const account = await world.account('all');
    const { kommo, connection } = account;
    kommo.generate({ leads: 1_500, contacts: 0 });
    const session = await world.session(connection);
    const background = openBackground(session, false);
    for (let step = 0; step < 4; step++) {
      tick(1);
      await stepBackground(session, background);
    }
    await world.owner.transaction((tx) =>
      cancelFullSync(tx, { accountId: connection.accountId, id: connection.id }),
    );
    for (let step = 0; step < 10; step++) {
      tick(1);
      await stepBackground(session, background);
    }
    expect(background.job).toBeUndefined();
    expect((await rowOf(account))['full_sync_state']).toBe('cancelled');
    expect(await count(world.leads(connection))).toBeLessThan(1_500);
  });

  test('begins again when it is connected again after it was disconnected in the middle of it', async () => {
    const account = await world.account('all');
    const { kommo, connection } = account;
    kommo.generate({ leads: 600, contacts: 50 });
    const session = await world.session(connection);
    const background = openBackground(session, false);
    for (let step = 0; step < 3; step++) {
      tick(1);
      await stepBackground(session, background);
    }
    const { accountId, id } = connection;
    await world.owner.transaction((tx) => disconnectKommo(tx, { accountId, id }));
    expect(await count(world.leads(connection))).toBeLessThan(600);
    await world.reconnect(account);
    const next = await world.session(connection);
    await readAll(next, openBackground(next, false));
    expect(await count(world.leads(connection))).toBe(600);
    expect((await rowOf(account))['full_sync_state']).toBe('done');
  });

  test('is done of a pipeline that is followed from now on, of its leads alone', async () => {
    const account = await world.account();
    const { kommo, connection, pipelineId } = account;
    const other = kommo.pipelines.list()[1]!.id;
    for (let index = 0; index < 20; index++) {
      const person = kommo.contacts.create({ name: `Person ${index}` });
      const contactIds = [person.id];
      kommo.leads.create({
        name: `Lead ${index}`,
        pipelineId: index % 2 ? other : pipelineId,
        contactIds,
      });
    }
    const session = await world.session(connection);
    const background = openBackground(session, false);
    await readAll(session, background);
    expect(await count(world.leads(connection))).toBe(10);
    // A pass has seen them all, and was not interested.
    await passLeads(session);
    const before = world.asked(account, 'contacts');
    await world.follow(connection, [pipelineId, other]);
    await look(session);
    await readAll(session, background);
    expect(await count(world.leads(connection))).toBe(20);
    expect(world.asked(account, 'contacts')).toBe(before);
    expect(new Set(background.loaded.pipelines)).toEqual(new Set([pipelineId, other]));
    await world.follow(connection, [pipelineId]);
    await look(session);
    await stepBackground(session, background);
    expect(background.loaded.pipelines).toEqual([pipelineId]);
  });

  test('is done in the night, at a slow pace and without a word, and writes nothing when nothing differs', async () => {
    const account = await world.account('all');
    const { kommo, connection } = account;
    kommo.generate({ leads: 400, contacts: 400 });
    const session = await world.session(connection);
    const background = openBackground(session, false);
    await readAll(session, background);
    const wal = await watchWal(world.owner);
    world.time.advance(26 * 3_600_000);
    const waits: number[] = [];
    await stepBackground(session, background);
    expect(background.job?.position.reason).toBe('nightly');
    while (background.job) waits.push((await stepBackground(session, background)).waitMs);
    expect(Math.max(...waits)).toBe(2_000);
    const { kommo_cursors: cursors, ...others } = await wal.take();
    expect(others).toEqual({});
    // Begun, ended, and when.
    expect(cursors).toBeLessThanOrEqual(6);
    expect((await rowOf(account))['full_sync_done']).toBe('800');
  });

  test('is done after a gap in which events may have been missed', async () => {
    const account = await world.account('all');
    account.kommo.generate({ leads: 20, contacts: 20 });
    const session = await world.session(account.connection);
    await readAll(session, openBackground(session, false));
    const later = await world.session(account.connection);
    const background = openBackground(later, true);
    await stepBackground(later, background);
    expect(background.job?.position.reason).toBe('gap');
    while (background.job) await stepBackground(later, background);
    expect(background.hasGap).toBe(false);
  });

  test('marks nothing when many rows are missing, and says so', async () => {
    const account = await world.account('all');
    account.kommo.generate({ leads: 120, contacts: 120 });
    const session = await world.session(account.connection);
    const background = openBackground(session, false);
    await readAll(session, background);
    account.kommo.set({ hiddenShare: 0.3 });
    await ask(account);
    await look(session);
    await readAll(session, background);
    expect(background.alarm).toContain('can no longer be seen');
    const leads = await world.leads(account.connection);
    expect([...leads.values()].filter((row) => row['is_deleted'] === 't')).toEqual([]);
    expect((await rowOf(account))['full_sync_state']).toBe('done');
  });
});
