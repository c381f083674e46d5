import { accountColumn } from '../../../domain/entity.ts';
import { ENTITIES } from '../../../domain/registry.ts';
import { createLog } from '../../../platform/log.ts';
import { createDatabase, type Database } from '../../../platform/postgres.ts';
import { ident, sql, type Sql } from '../../../platform/sql.ts';
import { createAccount, type AccountFixture } from '../../support/account-fixture.ts';
import { createTestDatabase } from '../../support/services.ts';

/** A node of a plan as EXPLAIN prints it. */
export type Plan = {
  'Node Type': string;
  'Relation Name'?: string;
  'Index Name'?: string;
  'Index Cond'?: string;
  'Recheck Cond'?: string;
  'Actual Rows': number;
  'Actual Loops': number;
  Plans?: Plan[];
};

export type PlanWorld = {
  readonly db: Database;
  readonly large: AccountFixture;
  /** Larger than a list counts. */
  readonly theirs: AccountFixture;
  readonly small: AccountFixture;
  /** Every node of the plan of a statement that was run. */
  explain(statement: Sql): Promise<Plan[]>;
  close(): Promise<void>;
};

/** Rows of a growing table: the account's own are few enough among the others' for an index to be worth it. */
const ROWS = { large: 4_000, theirs: 16_000 };
/** What they do is no matter here, and would be most of the time. */
const TRIGGERED = ['contacts', 'leads', 'chats', 'interactions', 'campaign_recipients'];

/** Two accounts with thousands of rows in each table that grows, and one that has hardly any. */
export async function openPlanWorld(): Promise<PlanWorld> {
  const database = await createTestDatabase();
  const db = createDatabase({
    url: database.ownerUrl,
    applicationName: 'test',
    max: 2,
    statementTimeoutMs: 60_000,
    log: createLog({ component: 'api', level: 'silent' }),
  });
  const large = await createAccount(db, 'ours');
  const theirs = await createAccount(db, 'theirs');
  const small = await createAccount(db, 'small');
  for (const table of TRIGGERED)
    await db.query(sql`alter table public.${ident(table)} disable trigger user`);
  await fill(db, large, ROWS.large);
  await fill(db, theirs, ROWS.theirs);
  await db.query(sql`vacuum analyze`);
  return {
    db,
    large,
    theirs,
    small,
    explain: async (statement) => {
      const [row] = await db.query(
        sql`explain (analyze, costs off, timing off, format json) ${statement}`,
      );
      const [{ Plan: root }] = JSON.parse(Object.values(row ?? {})[0] ?? '[]') as [{ Plan: Plan }];
      const flatten = (plan: Plan): Plan[] => [plan, ...(plan.Plans ?? []).flatMap(flatten)];
      return flatten(root);
    },
    close: async () => {
      await db.close();
      await database.drop();
    },
  };
}

async function fill(db: Database, account: AccountFixture, rows: number): Promise<void> {
  const { accountId, stages, tagIds, deviceIds, pipelineId } = account;
  await db.query(sql`
    insert into public.contacts (account_id, display_name, phone, jid, created_at)
    select ${accountId}, 'Name ' || md5(number::text), (51900000000 + number)::text,
      (51900000000 + number)::text || '@c.us', now() - number * interval '1 minute'
    from generate_series(1, ${rows}::integer) as number`);
  await db.query(sql`
    insert into public.leads (account_id, contact_id, title, pipeline_id, stage_id, value, created_at)
    select account_id, id, 'Title ' || md5(id::text), ${pipelineId}, (${stages.active}::bigint[])[1 + id % 4], id % 1000,
      created_at
    from public.contacts where account_id = ${accountId} and jid like '%@c.us'`);
  await db.query(sql`
    insert into public.lead_tags (account_id, lead_id, tag_id)
    select account_id, id, (${tagIds}::bigint[])[1 + id % 4] from public.leads where account_id = ${accountId}
    on conflict do nothing`);
  await db.query(sql`
    insert into public.chats (account_id, contact_id, device_id, jid, name, is_unread, active_at)
    select account_id, id, (${deviceIds}::bigint[])[1 + id % 2], jid, display_name, id % 20 = 0, created_at
    from public.contacts where account_id = ${accountId} and jid like '%@c.us'`);
  await db.query(sql`
    insert into public.interactions (account_id, kind, contact_id, occurred_at)
    select account_id, (array['call', 'note'])[1 + id % 2], id, created_at
    from public.contacts where account_id = ${accountId}`);
  await db.query(sql`
    insert into public.campaign_recipients (account_id, campaign_id, contact_id)
    select account_id, (select min(id) from public.campaigns where account_id = ${accountId}), id
    from public.contacts where account_id = ${accountId}
    on conflict do nothing`);
}

/** Tables whose rows belong to an account. */
const OF_ACCOUNTS = new Set(
  ENTITIES.filter((entity) => accountColumn(entity) === 'account_id').map(({ table }) => table),
);

/** Scans that take in rows of whichever account: no index leads them to an account, to a row or to who made it. */
export function scansOfAnybody(plans: readonly Plan[]): string[] {
  return plans
    .filter((plan) => OF_ACCOUNTS.has(plan['Relation Name'] ?? ''))
    .filter((plan) => {
      const condition = plan['Index Cond'] ?? plan['Recheck Cond'] ?? '';
      return !/\b(account_id|id|created_by) = /.test(condition);
    })
    .map((plan) => `${plan['Node Type']} on ${plan['Relation Name']} ${plan['Index Name'] ?? ''}`);
}
