import { expect, test } from 'vitest';
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
