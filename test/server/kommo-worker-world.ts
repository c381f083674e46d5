import { randomUUID } from 'node:crypto';
import { afterAll } from 'vitest';
import { createVirtualClock, type VirtualClock } from '../../fakes/kommo/clock.ts';
import type { World } from '../../fakes/kommo/world.ts';
import { createMetrics, type Metrics } from '../../platform/metrics.ts';
import { sql, type Sql } from '../../platform/sql.ts';
import type { TextRow } from '../../platform/postgres.ts';
import { applyKommoPipelines } from '../../server/commands/apply-kommo-pipelines.ts';
import { chooseKommoPipelines } from '../../server/commands/choose-kommo-pipelines.ts';
import { connectKommo } from '../../server/commands/connect-kommo.ts';
import type { Lease } from '../../server/commands/lease-work.ts';
import type { Clock } from '../../server/ingest/clock.ts';
import { openLists } from '../../server/ingest/kommo/lists.ts';
import { openSession } from '../../server/ingest/kommo/open-session.ts';
import { passReference } from '../../server/ingest/kommo/pass-reference.ts';
import { passContacts, passLeads } from '../../server/ingest/kommo/pass-updated.ts';
import type { Session } from '../../server/ingest/kommo/session.ts';
import {
  openKommoTestWorld,
  type Connection,
  type KommoTestWorld,
  type Talker,
} from './kommo-means.ts';

export type Account = {
  readonly kommo: World;
  readonly connection: Connection;
  /** Of the pipeline that is followed. */
  readonly pipelineId: number;
};

export type WorkerWorld = KommoTestWorld & {
  readonly clock: VirtualClock;
  readonly by: Talker;
  readonly metrics: Metrics;
  /** Of the worker: stands until it is told to go, and nobody waits by it. */
  readonly time: TestTime;
  /** A Kommo account that is connected, its main pipeline followed, or `all` of them. */
  account(follows?: 'main' | 'all'): Promise<Account>;
  follow(connection: Connection, kommoIds: readonly number[]): Promise<void>;
  /** With another token. */
  reconnect(account: Account): Promise<void>;
  lease(connection: Connection): Promise<Lease>;
  /** Work on it as a worker does it, by a lease of its own, ready for passes. */
  session(connection: Connection, options?: { signal?: AbortSignal }): Promise<Session>;
  leads(connection: Connection): Promise<Map<number, TextRow>>;
  contacts(connection: Connection): Promise<Map<number, TextRow>>;
  one(statement: Sql): Promise<TextRow>;
  /** Time goes on over there and here. */
  tick(seconds: number): void;
  /** Titles by Kommo's ids: what is here, and what is to be here. */
  titles(account: Account): Promise<Record<number, string | null | undefined>>;
  truth(account: Account): Record<number, string>;
  /** Requests to a Kommo account so far. */
  asked(account: Account, endpoint?: string): number;
};

export type TestTime = Clock & { advance(ms: number): void };

function createTestTime(): TestTime {
  let passed = 0;
  const start = Date.now();
  return {
    now: () => start + passed,
    elapsed: () => passed,
    // Only what collides waits here.
    sleep: async (_ms, signal) => signal.throwIfAborted(),
    random: () => 0.5,
    advance: (ms) => void (passed += ms),
  };
}

/** A Kommo whose clock goes when it is told to, or `isLive` by itself, and that has time for everybody. */
export async function openWorkerWorld({ isLive = false } = {}): Promise<WorkerWorld> {
  const clock = createVirtualClock(Date.now());
  const limiter = { perSecond: 10_000, banAfter: null };
  const world = await openKommoTestWorld({ limiter, ...(isLive ? {} : { clock }) });
  const { owner } = world;
  const by = world.talker({ config: { requestsPerSecond: 1_000 } });
  const metrics = createMetrics('test');
  const time = createTestTime();
  const stopping = new AbortController();
  afterAll(() => stopping.abort());

  const follow: WorkerWorld['follow'] = async ({ id, accountId }, kommoIds) => {
    const rows = await owner.query(sql`
      select id from public.kommo_pipelines
      where account_id = ${accountId} and connection_id = ${id} and kommo_id = any(${[...kommoIds]}::bigint[])`);
    const connectedIds = rows.map((row) => Number(row['id']));
    await owner.transaction((tx) =>
      chooseKommoPipelines(tx, { accountId, connectionId: id, connectedIds }),
    );
  };
  const lease: WorkerWorld['lease'] = async ({ id }) => {
    const worker = randomUUID();
    // The one before, if any, has lost it by this.
    const resource = `kommo:${id}`;
    const [row] = await owner.query(sql`
      insert into private.ingest_leases as lease (resource, owner, fence) values (${resource}, ${worker}, 1)
      on conflict (resource) do update set owner = excluded.owner, fence = lease.fence + 1
      returning fence`);
    return { resource, owner: worker, fence: Number(row?.['fence']) };
  };
  const session: WorkerWorld['session'] = async (connection, { signal } = {}) => {
    const { database, means } = by;
    const log = means.log;
    const opened = await openSession(
      { database, kommo: means, clock: time, log, metrics },
      await lease(connection),
      signal ?? stopping.signal,
    );
    if (!opened) throw new Error('there is no such connection');
    await passReference(opened.session, 'poll');
    await openLists(opened.session);
    return opened.session;
  };
  const account: WorkerWorld['account'] = async (follows = 'main') => {
    const { kommo, connection, client } = await world.fresh(by);
    const pipelineId = kommo.pipelines.main.id;
    const { accountId, id: connectionId } = connection;
    // The fixture's own, which has no tokens.
    await owner.query(sql`
      delete from public.kommo_connections where account_id = ${accountId} and id <> ${connectionId}`);
    const pipelines = await client.pipelines('interactive');
    await owner.transaction((tx) =>
      applyKommoPipelines(tx, { accountId, connectionId }, pipelines),
    );
    const all = kommo.pipelines.list().map((pipeline) => pipeline.id);
    await follow(connection, follows === 'all' ? all : [pipelineId]);
    return { kommo, connection, pipelineId };
  };
  const rowsOf = async (statement: Sql): Promise<Map<number, TextRow>> =>
    new Map((await owner.query(statement)).map((row) => [Number(row['kommo_id']), row]));
  const leads: WorkerWorld['leads'] = ({ accountId }) => rowsOf(selectLeads(accountId));
  return {
    ...world,
    clock,
    by,
    metrics,
    time,
    account,
    follow,
    reconnect: async ({ kommo, connection: { accountId, subdomain } }) => {
      const tokens = { accessToken: kommo.tokens.issueLongLived(), refreshToken: undefined };
      await owner.transaction((tx) =>
        connectKommo(tx, { box: by.means.box, accountId, subdomain, tokens }),
      );
    },
    lease,
    session,
    leads,
    contacts: ({ accountId }) =>
      rowsOf(sql`
        select id, kommo_id, name, last_name, phone, kommo_deleted_at is not null as is_deleted
        from public.contacts where account_id = ${accountId} and kommo_id is not null`),
    one: async (statement) => {
      const [row] = await owner.query(statement);
      if (!row) throw new Error('there is no row');
      return row;
    },
    tick: (seconds) => {
      clock.advance(seconds * 1_000);
      time.advance(seconds * 1_000);
    },
    titles: async ({ connection }) =>
      Object.fromEntries([...(await leads(connection))].map(([id, row]) => [id, row['title']])),
    truth: ({ kommo, pipelineId }) =>
      Object.fromEntries(
        [...kommo.leads.all()]
          .filter((row) => row.pipelineId === pipelineId && !row.isDeleted)
          .map((row) => [row.id, row.name]),
      ),
    asked: ({ kommo }, endpoint) =>
      world.fake.requests.list({ subdomain: kommo.subdomain, endpoint }).length,
  };
}

const selectLeads = (accountId: number): Sql => sql`
        select lead.id, lead.kommo_id, lead.title, lead.value, lead.status, stage.kommo_id as status_id,
          lead.kommo_deleted_at is not null as is_deleted, lead.deleted_at is not null as is_trashed,
          lead.archived_at is not null as is_archived, contact.kommo_id as contact_kommo_id, lead.assigned_to,
          (
            select string_agg(tag.name, ',' order by tag.name)
            from public.lead_tags as link
            join public.tags as tag on tag.account_id = link.account_id and tag.id = link.tag_id
            where link.account_id = lead.account_id and link.lead_id = lead.id
          ) as tags
        from public.leads as lead
        join public.contacts as contact on contact.account_id = lead.account_id and contact.id = lead.contact_id
        join public.pipeline_stages as stage on stage.account_id = lead.account_id and stage.id = lead.stage_id
        where lead.account_id = ${accountId} and lead.kommo_id is not null`;

export type Known = Account & {
  readonly session: Session;
  readonly ids: number[];
  readonly people: number[];
};

/** An account whose leads, each with a contact, are known here. */
export async function knownAccount(world: WorkerWorld, count: number): Promise<Known> {
  const account = await world.account();
  const { kommo, connection } = account;
  const session = await world.session(connection);
  const people = Array.from({ length: count }, (_, index) =>
    kommo.contacts.create({ name: `Person ${index}` }),
  );
  const leads = people.map(({ id }, index) =>
    kommo.leads.create({ name: `Lead ${index}`, contactIds: [id] }),
  );
  world.tick(5);
  await passContacts(session);
  await passLeads(session);
  world.tick(5);
  return {
    ...account,
    session,
    ids: leads.map(({ id }) => id),
    people: people.map(({ id }) => id),
  };
}

/** Statements and transactions that passes run, but for waiting for their turn at Kommo. */
export function countQueries(session: Session): { queries: () => number; restore: () => void } {
  let queries = 0;
  const { database } = session;
  const writable = session as { database: Session['database'] };
  writable.database = {
    ...database,
    query: (...given) => ((queries += 1), database.query(...given)),
    transaction: (...given) => ((queries += 1), database.transaction(...given)),
  };
  return { queries: () => queries, restore: () => void (writable.database = database) };
}
