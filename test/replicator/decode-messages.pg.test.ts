import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openDecodedWorld, type DecodedWorld } from './decoded-world.ts';

let world: DecodedWorld;

beforeAll(async () => {
  world = await openDecodedWorld();
});

afterAll(() => world.close());

describe('logical messages', () => {
  test('[R10] origin and signals come with their transaction; what does not fit is ignored and counted', async () => {
    const account = await world.createAccount();
    await world.client.query('begin');
    await world.emit('clarin.origin', { source: 'api', request_id: 'r1' });
    await world.emit('clarin.origin', 'no json');
    await world.emit('clarin.origin', '[1]');
    await world.emit('clarin.origin', { source: 'x'.repeat(3_000) });
    await world.emit('clarin.signal', { account_id: account, kind: 'typing', chat_id: 7 });
    await world.emit('clarin.signal', { account_id: 'all', kind: 'typing' });
    await world.emit('somebody.else', 'hello');
    await world.createTag(account, 'hot');
    await world.client.query('commit');
    await world.emit('clarin.signal', { account_id: account, kind: 'typing' }, false);
    const [transaction, lonely] = await world.decoded.settle(world.client);
    const [commit] = transaction?.commits ?? [];
    expect(JSON.parse(commit?.origin ?? '')).toEqual({ source: 'api', request_id: 'r1' });
    expect(commit?.signals.map((text) => JSON.parse(text))).toEqual([
      { account_id: account, kind: 'typing', chat_id: 7 },
    ]);
    expect(lonely).toMatchObject({ xid: 0, commits: [{ accountId: account, changes: [] }] });
    const ignored = await world.decoded.metrics.messagesIgnored.get();
    expect(
      Object.fromEntries(ignored.values.map((one) => [one.labels.prefix, one.value])),
    ).toMatchObject({
      'clarin.origin': 3,
      'clarin.signal': 1,
      other: 1,
    });
  });

  test('[R11] a row that leaves a filter brings the values it had, whether updated, moved or deleted', async () => {
    const account = await world.createAccount();
    const { id, contact } = await world.createLead(account, 'Deal');
    const other = await world.createLead(account, 'Other');
    await world.decoded.settle(world.client);
    await world.client.query('update leads set contact_id = $1 where id = $2', [other.contact, id]);
    await world.client.query(`update leads set title = 'same place' where id = $1`, [id]);
    await world.client.query('delete from leads where id = $1', [id]);
    const transactions = await world.decoded.settle(world.client);
    const [left, stayed, gone] = transactions.map((one) =>
      one.commits[0]?.changes.find((c) => c.table === 'leads'),
    );
    expect(left?.now).toMatchObject({ contact_id: String(other.contact) });
    expect(left?.was).toMatchObject({
      contact_id: String(contact),
      stage_id: left?.now?.['stage_id'],
    });
    expect(stayed?.was).toBeNull();
    expect(gone).toMatchObject({
      op: 'delete',
      now: null,
      was: { contact_id: String(other.contact) },
    });
    expect(Object.keys(gone?.was ?? {}).sort()).toEqual([
      'assigned_to',
      'contact_id',
      'pipeline_id',
      'stage_id',
    ]);
  });

  test('many rows of one statement each get the values they had', async () => {
    const account = await world.createAccount();
    const first = await world.createLead(account, 'One');
    const second = await world.createLead(account, 'Two');
    await world.decoded.settle(world.client);
    await world.client.query(
      'update leads set contact_id = case id when $1 then $3::bigint else $2::bigint end where id in ($1, $4)',
      [first.id, first.contact, second.contact, second.id],
    );
    const [transaction] = await world.decoded.settle(world.client);
    const was = transaction?.commits[0]?.changes.map((change) => [
      change.keyJson,
      change.was?.['contact_id'],
    ]);
    expect(was).toEqual(
      expect.arrayContaining([
        [`{"id":${first.id}}`, String(first.contact)],
        [`{"id":${second.id}}`, String(second.contact)],
      ]),
    );
  });
});
