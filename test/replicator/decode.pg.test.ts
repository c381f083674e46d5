import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openDecodedWorld, type DecodedWorld } from './decoded-world.ts';
import { changesOf, connect } from './support.ts';

let world: DecodedWorld;

beforeAll(async () => {
  world = await openDecodedWorld();
});

afterAll(() => world.close());

describe('decode', () => {
  test('an insert, an update and a delete become changes of their account', async () => {
    const account = await world.createAccount();
    const id = await world.createTag(account, 'hot');
    await world.client.query('update tags set name = $1 where id = $2', ['cold', id]);
    await world.client.query('delete from tags where id = $1', [id]);
    const [inserted, updated, deleted] = await world.decoded.settle(world.client);
    expect(changesOf(inserted, account)).toMatchObject([
      { table: 'tags', op: 'insert', key: { id }, row: { id, account_id: account, name: 'hot' } },
    ]);
    expect(changesOf(updated, account)).toMatchObject([
      { op: 'update', key: { id }, row: { name: 'cold' } },
    ]);
    expect(changesOf(deleted, account)[0]).toEqual({ table: 'tags', op: 'delete', key: { id } });
    expect(inserted?.at).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/);
  });

  test('[R1] a cascade, a trigger and COPY are decoded like any other change', async () => {
    const account = await world.createAccount();
    const { id } = await world.createLead(account, 'Deal');
    const tag = await world.createTag(account, 'hot');
    await world.client.query(
      'insert into lead_tags (account_id, lead_id, tag_id) values ($1, $2, $3)',
      [account, id, tag],
    );
    await world.decoded.settle(world.client);
    await world.client.query('delete from tags where id = $1', [tag]);
    const [cascade] = await world.decoded.settle(world.client);
    expect(changesOf(cascade, account)).toMatchObject([
      { table: 'tags', op: 'delete', key: { id: tag } },
      { table: 'lead_tags', op: 'delete', key: { lead_id: id, tag_id: tag } },
      { table: 'audit_log', op: 'insert', row: { entity: 'tags', entity_id: tag } },
    ]);
    await world.client.query(
      'update accounts set default_country = default_country where id = $1',
      [account],
    );
    await world.client.query('insert into pipelines (account_id, name) values ($1, $2)', [
      account,
      'Second',
    ]);
    const [, byTrigger] = await world.decoded.settle(world.client);
    const tables = changesOf(byTrigger, account).map((change) => change['table']);
    expect(tables).toContain('pipeline_stages');
  });

  test('[R2] what was rolled back, by its transaction or a savepoint, gives nothing', async () => {
    const account = await world.createAccount();
    await world.client.query('begin');
    await world.createTag(account, 'never');
    await world.client.query('rollback');
    await world.client.query('begin');
    const kept = await world.createTag(account, 'kept');
    await world.client.query('savepoint here');
    await world.createTag(account, 'gone');
    await world.emit('clarin.signal', { account_id: account, kind: 'typing' });
    await world.client.query('rollback to savepoint here');
    await world.client.query('commit');
    const transactions = await world.decoded.settle(world.client);
    expect(transactions).toHaveLength(1);
    expect(changesOf(transactions[0], account).map((change) => change['key'])).toEqual([
      { id: kept },
    ]);
    expect(transactions[0]?.commits[0]?.signals).toEqual([]);
  });

  test('[R3] transactions come whole and in the order of their commits, not of their writes', async () => {
    const account = await world.createAccount();
    const other = await connect(world.url);
    await other.query('begin');
    await other.query('insert into tags (account_id, name) values ($1, $2)', [
      account,
      'written first',
    ]);
    await world.createTag(account, 'committed first');
    await other.query('insert into tags (account_id, name) values ($1, $2)', [
      account,
      'written last',
    ]);
    await other.query('commit');
    await other.end();
    const transactions = await world.decoded.settle(world.client);
    const names = transactions.map((one) =>
      changesOf(one, account).map((change) => (change['row'] as { name: string }).name),
    );
    expect(names).toEqual([['committed first'], ['written first', 'written last']]);
    const [first, second] = transactions;
    expect(first && second && first.lsn < first.endLsn && first.endLsn <= second.lsn).toBe(true);
  });

  test('[R4] the rows of one statement keep their order behind one commit LSN', async () => {
    const account = await world.createAccount();
    await world.client.query(
      `insert into tags (account_id, name) select $1, 'tag ' || n from generate_series(1, 50) as n`,
      [account],
    );
    const [transaction] = await world.decoded.settle(world.client);
    const names = changesOf(transaction, account).map(
      (change) => (change['row'] as { name: string }).name,
    );
    expect(names).toEqual(Array.from({ length: 50 }, (_, index) => `tag ${index + 1}`));
    expect(transaction?.commits).toHaveLength(1);
  });

  test('[R6] an unchanged TOAST value is named and absent, a null is only absent', async () => {
    const account = await world.createAccount();
    const { id } = await world.createLead(account, 'Deal');
    await world.client.query(`alter table leads alter column notes set storage external`);
    await world.client.query(`update leads set notes = repeat('x', 9000) where id = $1`, [id]);
    await world.client.query(`update leads set title = 'Other' where id = $1`, [id]);
    await world.client.query(`update leads set notes = null where id = $1`, [id]);
    const changes = (await world.decoded.settle(world.client)).flatMap((one) =>
      changesOf(one, account),
    );
    const [, , set, moved, cleared] = changes;
    expect(set).toHaveProperty('row.notes', 'x'.repeat(9000));
    expect(moved).toMatchObject({ op: 'update', unchanged: ['notes'] });
    expect(moved?.['row']).not.toHaveProperty('notes');
    expect(cleared).not.toHaveProperty('unchanged');
    expect(cleared?.['row']).not.toHaveProperty('notes');
  });

  test('[R7] a row that moves to another account is deleted in the old one and inserted in the new one', async () => {
    const [from, to] = [await world.createAccount(), await world.createAccount()];
    const id = await world.createTag(from, 'wanderer');
    await world.decoded.settle(world.client);
    await world.client.query('update tags set account_id = $1 where id = $2', [to, id]);
    const [moved] = await world.decoded.settle(world.client);
    expect(changesOf(moved, from)).toEqual([{ table: 'tags', op: 'delete', key: { id } }]);
    expect(changesOf(moved, to)).toMatchObject([
      { op: 'insert', key: { id }, row: { account_id: to } },
    ]);
    expect(moved?.commits.find((one) => one.accountId === from)?.changes[0]?.json).not.toContain(
      'wanderer',
    );
  });

  test('an account is a row of itself, with its settings for those who may see them, and a user is nobody’s', async () => {
    const account = await world.createAccount();
    await world.client.query(`update accounts set settings = '{"a": 1}' where id = $1`, [account]);
    await world.client.query(
      `insert into users (username, display_name, password_hash) values ($1, 'U', 'secret')`,
      [`u${account}`],
    );
    const [updated, user] = await world.decoded.settle(world.client);
    const [change] = updated?.commits.find((one) => one.accountId === account)?.changes ?? [];
    expect(JSON.parse(change?.json ?? '')).toMatchObject({
      table: 'accounts',
      row: { settings: { a: 1 } },
    });
    expect(JSON.parse(change?.restrictedJson ?? '').row).not.toHaveProperty('settings');
    expect(user?.commits).toEqual([]);
    expect(user?.changesCount).toBe(1);
  });

  test('[R8] a truncate stands among the changes of those it meets and apart for all others', async () => {
    const account = await world.createAccount();
    await world.client.query('begin');
    await world.createTag(account, 'before');
    await world.client.query('truncate tags cascade');
    await world.createTag(account, 'after');
    await world.client.query('commit');
    const [transaction] = await world.decoded.settle(world.client);
    const ops = changesOf(transaction, account).map(
      (change) => `${String(change['op'])} ${String(change['table'])}`,
    );
    expect(ops[0]).toBe('insert tags');
    expect(ops.at(-1)).toBe('insert tags');
    expect(new Set(ops.slice(1, -1))).toEqual(
      new Set([
        'truncate tags',
        'truncate lead_tags',
        'truncate contact_tags',
        'truncate chat_tags',
      ]),
    );
    expect(transaction?.truncates.map((change) => change.table).sort()).toEqual([
      'chat_tags',
      'contact_tags',
      'lead_tags',
      'tags',
    ]);
  });
});
