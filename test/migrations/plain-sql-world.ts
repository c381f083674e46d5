import { createLog } from '../../platform/log.ts';
import {
  createDatabase,
  type Database,
  type Queries,
  type TextRow,
} from '../../platform/postgres.ts';
import { sql, type Sql } from '../../platform/sql.ts';
import { createAccount, type AccountFixture } from '../support/account-fixture.ts';
import { createTestDatabase } from '../support/services.ts';

/** Two accounts in a database of one's own, and plain SQL as the owner: for rules that hold whoever writes. */
export type World = {
  readonly db: Database;
  readonly ours: AccountFixture;
  readonly theirs: AccountFixture;
  /** The first row. @throws Error when there is none. */
  one(statement: Sql, on?: Queries): Promise<TextRow>;
  lead(id: number): Promise<TextRow>;
  /** Without a stage: the account's default one. */
  newLead(stageId?: number | null): Promise<number>;
  /** A pipeline with one active stage, so that tests do not meet. */
  newPipeline(): Promise<{ id: number; active: number; won: number; lost: number }>;
  close(): Promise<void>;
};

export async function openWorld(): Promise<World> {
  const database = await createTestDatabase();
  const db = createDatabase({
    url: database.ownerUrl,
    applicationName: 'test',
    max: 4,
    statementTimeoutMs: 10_000,
    log: createLog({ component: 'migrate', level: 'silent' }),
  });
  const ours = await createAccount(db, 'ours');
  const theirs = await createAccount(db, 'theirs');
  const one = async (statement: Sql, on: Queries = db): Promise<TextRow> => {
    const [row] = await on.query(statement);
    if (!row) throw new Error('no row');
    return row;
  };
  return {
    db,
    ours,
    theirs,
    one,
    lead: (id) =>
      one(sql`
        select status, stage_id, pipeline_id, closed_at, close_reason, updated_at
        from public.leads where id = ${id}`),
    newLead: async (stageId = null) => {
      const { id } = await one(sql`
        insert into public.leads (account_id, contact_id, title, stage_id)
        values (${ours.accountId}, ${ours.contactIds[0]}, 'A lead', ${stageId}) returning id`);
      return Number(id);
    },
    newPipeline: () => createPipeline(one, ours.accountId),
    close: async () => {
      await db.close();
      await database.drop();
    },
  };
}

async function createPipeline(one: World['one'], accountId: number) {
  const { id } = await one(sql`
    insert into public.pipelines (account_id, name) values (${accountId}, 'A pipeline') returning id`);
  const { id: active } = await one(sql`
    insert into public.pipeline_stages (account_id, pipeline_id, name)
    values (${accountId}, ${id}, 'First') returning id`);
  const ends = await one(sql`
    select max(id) filter (where type = 'won') as won, max(id) filter (where type = 'lost') as lost
    from public.pipeline_stages where pipeline_id = ${id}`);
  return {
    id: Number(id),
    active: Number(active),
    won: Number(ends['won']),
    lost: Number(ends['lost']),
  };
}
