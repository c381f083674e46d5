import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { LoggedRequest } from '../../fakes/kommo/request-log.ts';
import { sql } from '../../platform/sql.ts';
import { eventually } from '../support/services.ts';
import { startKommoStack, type IngestProcess, type KommoStack } from './support/kommo-stack.ts';

const WORKERS = 3;
const RETRY_AFTER_SECONDS = 300;
/** Of those five minutes so much is waited for. */
const LEFT_SECONDS = 8;
/** One that was on its way when another one was refused. */
const ON_THE_WAY_MS = 500;
const SLOWLY = 8;

/** The most within any span of a second, wherever it begins. */
function mostInAnySecond(requests: readonly LoggedRequest[]): number {
  const counts = requests.map(
    ({ atMs }) => requests.filter((one) => one.atMs >= atMs && one.atMs < atMs + 1_000).length,
  );
  return Math.max(0, ...counts);
}

describe('three processes behind one address, and Kommo with its own limit', () => {
  let stack: KommoStack;
  let workers: IngestProcess[];

  const start = (): Promise<IngestProcess[]> =>
    Promise.all(Array.from({ length: WORKERS }, () => stack.spawn()));

  beforeAll(async () => {
    // Seven in a second, 429 for five minutes, and after the second one the address is shut out.
    stack = await startKommoStack({ retryAfterSeconds: RETRY_AFTER_SECONDS, banAfter: 2 });
    workers = await start();
    await stack.untilAlive(WORKERS);
    for (let index = 1; index <= 2 * WORKERS; index++)
      await stack.connect(`account-${index}`, { leads: 300, contacts: 300 });
  });
  afterAll(() => stack.close());

  const requests = (after = 0): LoggedRequest[] => stack.fake.requests.list({ after });
  const untilAsked = (count: number, after = 0): Promise<boolean> =>
    eventually(() => requests(after).length >= count, {
      says: `${count} requests`,
      timeoutMs: 60_000,
    });

  it('never ask more than seven times in any second, all of them together', async () => {
    await untilAsked(50);
    const shares = await stack.shares();
    expect([...shares.values()].map((ids) => ids.length)).toEqual([2, 2, 2]);
    expect(requests().every(({ status }) => status !== 429)).toBe(true);
    expect(stack.fake.requests.mostInAnySecond()).toBeLessThanOrEqual(7);
  });

  it('are silent as long as Kommo asks for, those that begin meanwhile too; then they begin slowly', async () => {
    const { fake, owner } = stack;
    const does = { kind: 'status', status: 429, retryAfterSeconds: RETRY_AFTER_SECONDS } as const;
    fake.faults.add({ times: 1, does });
    const refused = await eventually(() => fake.requests.list({ status: 429 })[0], {
      says: 'Kommo asks for a pause',
    });
    const left = async (): Promise<number> => {
      const [row] = await owner.query(sql`
        select extract(epoch from paused_until - clock_timestamp()) as left_seconds
        from private.kommo_pauses where bucket = 'egress:default'`);
      return Number(row?.['left_seconds'] ?? 0);
    };
    await eventually(async () => (await left()) > RETRY_AFTER_SECONDS - 30, {
      says: 'it is written down for all of them',
    });
    // They end, without a word; most of the pause passes, and others begin while it lasts.
    for (const worker of workers) worker.kill('SIGKILL');
    const endsAtMs = performance.timeOrigin + performance.now() + LEFT_SECONDS * 1_000;
    await owner.query(sql`
      update private.kommo_pauses
      set paused_until = clock_timestamp() + make_interval(secs => ${LEFT_SECONDS})`);
    await owner.query(sql`update private.ingest_workers set expires_at = clock_timestamp()`);
    workers = await start();
    await untilAsked(SLOWLY, fake.requests.count);

    const after = requests(refused.number);
    const early = after.filter(({ atMs }) => atMs < endsAtMs);
    expect(early.filter(({ atMs }) => atMs > refused.atMs + ON_THE_WAY_MS)).toEqual([]);
    expect(early.length).toBeLessThan(WORKERS);
    const slow = after.filter(({ atMs }) => atMs >= endsAtMs);
    expect(slow.length).toBeGreaterThanOrEqual(SLOWLY);
    // Two in a second, and so three of them within one where one is late.
    expect(mostInAnySecond(slow)).toBeLessThanOrEqual(3);
    expect(slow.every(({ status }) => status === 200 || status === 204)).toBe(true);
    const gaps = slow
      .slice(1)
      .map(({ atMs }, index) => Math.round(atMs - (slow[index]?.atMs ?? 0)));
    process.stdout.write(`after the pause a request every ${gaps.join(', ')} ms\n`);
    expect(fake.requests.mostInAnySecond()).toBeLessThanOrEqual(7);
  });
});
