import { expect, test } from 'vitest';
import { toLsn } from '../../domain/lsn.ts';
import { OpenTransactions } from '../../replicator/open-transactions.ts';
import { TRANSACTION_LIMITS, TransactionBuilder } from '../../replicator/transaction-builder.ts';

test('[R9] one change for each of very many accounts costs time in proportion to them', () => {
  const builder = new TransactionBuilder(1, TRANSACTION_LIMITS);
  const change = {
    table: 'tags',
    op: 'update',
    json: 'x'.repeat(140),
    keyJson: '{"id":1}',
    now: null,
    was: null,
  } as const;
  for (let account = 1; account <= 130_000; account++) builder.add(account, change);
  expect(builder.isBulk(1, 'tags')).toBe(false);
}, 10_000);

const changeOf = (id: number) =>
  ({
    table: 'tags',
    op: 'update',
    json: 'x'.repeat(1_000),
    keyJson: `{"id":${id}}`,
    now: null,
    was: null,
  }) as const;
const end = { lsn: toLsn(1n), endLsn: toLsn(2n), at: '' };

test('[R9] what is rolled back to a savepoint is not of the transaction, a marker it made stays', () => {
  const builder = new TransactionBuilder(7, { changesMax: 3, bytesMax: 1e9 });
  const add = (subxid: number, account: number, count: number): void => {
    builder.subxid = subxid;
    for (let id = 1; id <= count; id++) builder.add(account, changeOf(id));
  };
  add(7, 1, 1);
  add(8, 1, 1);
  add(9, 2, 2);
  add(8, 3, 4);
  builder.rollBack(8);
  builder.rollBack(9);
  const { commits } = builder.finish(end);
  expect(commits.map(({ accountId, changes }) => [accountId, changes.map(({ op }) => op)])).toEqual(
    [
      [1, ['update']],
      [3, ['bulk']],
    ],
  );
});

test('[R9] however many large transactions are under way, together they hold what they may', () => {
  const open = new OpenTransactions(TRANSACTION_LIMITS, 100_000);
  for (let xid = 1; xid <= 50; xid++) {
    const { builder } = open.resume(xid);
    for (let id = 1; id <= xid; id++) builder.add(1, changeOf(id));
    open.bound();
    let bytes = 0;
    for (let one = 1; one <= xid; one++) bytes += open.resume(one).builder.bytes;
    expect(bytes).toBeLessThan(110_000);
  }
  const opsOf = (xid: number) =>
    open
      .take(xid)
      .builder.finish(end)
      .commits[0]?.changes.map(({ op }) => op);
  expect(opsOf(1)).toEqual(['update']);
  expect(opsOf(40)).toEqual(['bulk']);
  open.rollBack(39, 39);
  expect(() => open.take(39)).toThrow('before it was sent');
});
