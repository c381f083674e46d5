import { describe, expect, test } from 'vitest';
import { toLsn } from '../../domain/lsn.ts';
import type { DecodedTransaction } from '../../replicator/transaction-builder.ts';
import { TransactionQueue } from '../../replicator/transaction-queue.ts';

const MIB = 1024 * 1024;

function transaction(end: number, bytes = 100): DecodedTransaction {
  return {
    lsn: toLsn(BigInt(end - 1)),
    endLsn: toLsn(BigInt(end)),
    xid: end,
    at: '',
    commits: [],
    truncates: [],
    heartbeat: undefined,
    changesCount: 1,
    bytes,
  };
}

function create(): {
  queue: TransactionQueue;
  events: string[];
  signal: AbortSignal;
  stop: () => void;
} {
  const events: string[] = [];
  const queue = new TransactionQueue({
    onFull: () => events.push('full'),
    onDrained: () => events.push('drained'),
  });
  const controller = new AbortController();
  return {
    queue,
    events,
    signal: controller.signal,
    stop: () => controller.abort(new Error('stopped')),
  };
}

describe('the queue', () => {
  test('[R18] a keepalive is reached only when everything before it has been taken', async () => {
    const { queue, signal } = create();
    queue.push(transaction(10));
    queue.keepalive(toLsn(20n));
    expect(await queue.take(signal)).toMatchObject({ position: 20n, transactions: [{ xid: 10 }] });
    queue.keepalive(toLsn(30n));
    queue.push(transaction(40));
    expect(await queue.take(signal)).toMatchObject({ position: 40n });
    queue.keepalive(toLsn(50n));
    expect(await queue.take(signal)).toEqual({ position: 50n, transactions: [] });
  });

  test('a keepalive that says nothing new is not taken', async () => {
    const { queue, signal } = create();
    queue.push(transaction(10));
    await queue.take(signal);
    queue.keepalive(toLsn(10n));
    const waiting = queue.take(signal);
    queue.push(transaction(11));
    expect(await waiting).toMatchObject({ position: 11n });
  });

  test('cuts batches by bytes and by count, and never a transaction', async () => {
    const { queue, signal } = create();
    for (let end = 1; end <= 3; end++) queue.push(transaction(end * 10, 0.6 * MIB));
    queue.push(transaction(40, 5 * MIB));
    for (let end = 5; end <= 600; end++) queue.push(transaction(end * 10));
    queue.keepalive(toLsn(9_999n));
    const sizes: number[] = [];
    const positions: bigint[] = [];
    while (!queue.isEmpty) {
      const batch = await queue.take(signal);
      sizes.push(batch.transactions.length);
      positions.push(batch.position);
    }
    expect(sizes).toEqual([1, 1, 1, 1, 500, 96]);
    expect(positions).toEqual([10n, 20n, 30n, 40n, 5_040n, 9_999n]);
  });

  test('asks for a pause above the high mark and for more below the low one, once each', async () => {
    const { queue, events, signal } = create();
    for (let end = 1; end <= 12; end++) queue.push(transaction(end * 10, MIB));
    expect(events).toEqual(['full']);
    while (!queue.isEmpty) await queue.take(signal);
    expect(events).toEqual(['full', 'drained']);
    expect(queue.bytes).toBe(0);
  });

  test('waiting ends with the signal', async () => {
    const { queue, signal, stop } = create();
    const waiting = queue.take(signal);
    stop();
    await expect(waiting).rejects.toThrow('stopped');
  });
});
