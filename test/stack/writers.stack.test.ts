import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import pg from 'pg';
import type { Database } from '../../platform/postgres.ts';
import { eventually } from '../support/services.ts';
import { openTruth, startModel, untilEqual } from './support/compare.ts';
import type { ModelClient } from './support/model-client.ts';
import { addLeads, startStack, type Stack, type TestAccount } from './support/stack.ts';

/** Whoever writes, and however: the browser's copy and the cached list end as Postgres is. */
describe('every kind of writer', () => {
  let stack: Stack;
  let truth: Database;
  let account: TestAccount;
  let model: ModelClient;

  beforeAll(async () => {
    stack = await startStack();
    truth = openTruth(stack);
    account = stack.accounts[0];
  });
  afterAll(async () => {
    await truth.close();
    await stack.close();
  });
  beforeEach(async () => {
    const tables = ['contacts', 'leads', 'tags', 'lead_tags', 'pipelines', 'pipeline_stages'];
    model = await startModel(
      stack,
      truth,
      account,
      tables.map((table) => ({ table })),
    );
  });
  afterEach(() => {
    model.close();
    if (model.faults.length > 0) throw new Error(model.faults.join('; '));
  });

  /** The cached list says what Postgres says, once the position has passed what was committed. */
  async function expectFresh(path = '/api/leads?limit=200'): Promise<void> {
    await stack.settle();
    const cached = await stack.request(account, `GET ${path}`);
    const bypass = await stack.request(account, `GET ${path}`, undefined, {
      'clarin-min-commit': 'FFFFFFFF/FFFFFFFF',
    });
    expect(bypass.headers.get('clarin-cache')).toBe('bypass');
    expect(cached.text).toBe(bypass.text);
  }

  const warm = () => stack.request(account, 'GET /api/leads?limit=200');

  it('[R1] the API', async () => {
    await warm();
    const contact = await stack.request(account, 'POST /api/contacts', { name: 'By the API' });
    const contactId = (contact.json['data'] as { id: number }).id;
    expect(
      (
        await stack.request(account, 'POST /api/leads', {
          title: 'By the API',
          contact_id: contactId,
        })
      ).status,
    ).toBe(201);
    await untilEqual(model, truth, account.id);
    await expectFresh();
  });

  it('[R1] psql, one statement and many in a transaction', async () => {
    const [one, two] = await addLeads(stack, account, 2);
    await warm();
    await stack.transaction([
      `update leads set title = 'first' where id = ${one}`,
      `update leads set title = 'second' where id = ${two}`,
      `update leads set title = 'first again' where id = ${one}`,
      `delete from leads where id = ${two}`,
    ]);
    await untilEqual(model, truth, account.id);
    const operations = model.commits.at(-1)?.changes.map((change) => change.op);
    expect(operations).toEqual(['update', 'update', 'update', 'delete']);
    await expectFresh();
  });

  it('[R1] a trigger: the status of a lead follows its stage', async () => {
    const [id] = await addLeads(stack, account, 1);
    await warm();
    const [stage] = await stack.sql(
      `select id from pipeline_stages where account_id = $1 and type = 'won'`,
      [account.id],
    );
    await stack.sql('update leads set stage_id = $1 where id = $2', [stage?.['id'], id]);
    await untilEqual(model, truth, account.id);
    expect(model.row('leads', id ?? 0)).toMatchObject({
      status: 'won',
      stage_id: Number(stage?.['id']),
    });
    await expectFresh();
  });

  it('[R1] a cascade: links go with their lead', async () => {
    const [id] = await addLeads(stack, account, 1);
    const [tag] = await stack.sql(
      `insert into tags (account_id, name) values ($1, 'cascading') returning id`,
      [account.id],
    );
    await stack.sql('insert into lead_tags (account_id, lead_id, tag_id) values ($1, $2, $3)', [
      account.id,
      id,
      tag?.['id'],
    ]);
    await untilEqual(model, truth, account.id);
    expect(model.tables.get('lead_tags')?.size).toBe(1);
    await warm();
    await stack.sql('delete from leads where id = $1', [id]);
    await untilEqual(model, truth, account.id);
    expect(model.tables.get('lead_tags')?.size).toBe(0);
    await expectFresh();
  });

  it('[R4] COPY: many rows of one LSN, each with an identity of its own', async () => {
    const client = new pg.Client({ connectionString: stack.database.ownerUrl });
    await client.connect();
    await copyTags(client, account.id, 500);
    await client.end();
    await untilEqual(model, truth, account.id);
    const commit = model.commits.find((found) => found.changes.length >= 500);
    expect(new Set(commit?.changes.map((change) => JSON.stringify(change.key))).size).toBe(500);
    await expectFresh('/api/tags?limit=200');
  });

  it('[R9] an update of 100,000 rows becomes one marker, and what is read after it is new', async () => {
    await stack.sql(
      `insert into contacts (account_id, name) select $1, 'Bulk ' || n from generate_series(1, 100000) as n`,
      [account.id],
    );
    await eventually(
      () => model.commits.some((found) => found.changes.some((change) => change.op === 'bulk')),
      {
        timeoutMs: 60_000,
      },
    );
    const list = '/api/contacts?limit=50&sort=created_at';
    await stack.settle();
    await stack.request(account, `GET ${list}`);
    await stack.sql(`update contacts set company = 'After' where account_id = $1`, [account.id]);
    await stack.settle(60_000);
    const read = await stack.request(account, `GET ${list}`);
    const rows = read.json['data'] as { company?: string }[];
    expect(rows.every((row) => row.company === 'After')).toBe(true);
    const changes = model.commits
      .flatMap((found) => found.changes)
      .filter((change) => change.table === 'contacts');
    expect(changes.filter((change) => change.op === 'bulk').length).toBe(2);
    expect(changes.length).toBeLessThan(100);
    await stack.sql(`delete from contacts where account_id = $1 and name like 'Bulk %'`, [
      account.id,
    ]);
    await untilEqual(model, truth, account.id, 60_000);
  }, 180_000);

  it('[R2] a rolled back transaction and a rolled back savepoint give nothing', async () => {
    const [id] = await addLeads(stack, account, 1);
    await untilEqual(model, truth, account.id);
    const before = model.commits.length;
    await stack.transaction([`update leads set title = 'never' where id = ${id}`], 'rollback');
    await stack.transaction([
      `update leads set title = 'kept' where id = ${id}`,
      'savepoint here',
      `update leads set title = 'not kept' where id = ${id}`,
      `insert into tags (account_id, name) values (${account.id}, 'not kept')`,
      'rollback to savepoint here',
    ]);
    await untilEqual(model, truth, account.id);
    await stack.settle();
    const commits = model.commits.slice(before);
    expect(commits.map((commit) => commit.changes.length)).toEqual([1]);
    expect(JSON.stringify(commits)).not.toMatch(/never|not kept/);
  });

  it('[R3] a prepared transaction comes when it is committed, and in its place', async () => {
    const [one, two] = await addLeads(stack, account, 2);
    await untilEqual(model, truth, account.id);
    const before = model.commits.length;
    const client = new pg.Client({ connectionString: stack.database.ownerUrl });
    await client.connect();
    try {
      await client.query('begin');
      await client.query(`update leads set title = 'prepared' where id = ${one}`);
      await client.query(`prepare transaction 'held'`);
      await stack.sql(`update leads set title = 'meanwhile' where id = ${two}`);
      await eventually(() => model.commits.length === before + 1);
      await client.query(`commit prepared 'held'`);
    } finally {
      await client.end();
    }
    await eventually(() => model.commits.length === before + 2);
    const titles = model.commits.slice(before).map((commit) => commit.changes[0]);
    expect(titles).toMatchObject([{ row: { title: 'meanwhile' } }, { row: { title: 'prepared' } }]);
  });

  it('[R8] TRUNCATE empties every account, in its copy and in its lists', async () => {
    await addLeads(stack, account, 2);
    await addLeads(stack, stack.accounts[1], 2);
    await untilEqual(model, truth, account.id);
    await warm();
    const other = () => stack.request(stack.accounts[1], 'GET /api/leads');
    await other();
    await stack.sql('truncate leads cascade');
    await untilEqual(model, truth, account.id);
    expect(model.tables.get('leads')?.size).toBe(0);
    await expectFresh();
    expect((await other()).json['total']).toBe(0);
  });
});

/** COPY ... FROM STDIN over the driver's connection, without another package. */
async function copyTags(client: pg.Client, accountId: number, count: number): Promise<void> {
  const rows = Array.from({ length: count }, (_, n) => `${accountId}\tcopied ${n}\n`).join('');
  type Copy = pg.Query & {
    handleCopyInResponse: (connection: {
      sendCopyFromChunk(chunk: Buffer): void;
      endCopyFrom(): void;
    }) => void;
  };
  const copy = new pg.Query('copy tags (account_id, name) from stdin') as Copy;
  copy.handleCopyInResponse = (connection) => {
    connection.sendCopyFromChunk(Buffer.from(rows));
    connection.endCopyFrom();
  };
  await new Promise<void>((resolve, reject) => {
    copy.on('end', () => resolve());
    copy.on('error', reject);
    client.query(copy);
  });
}
