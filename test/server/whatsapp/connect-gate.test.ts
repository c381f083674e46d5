import { beforeEach, describe, expect, it } from 'vitest';
import { ConnectGate } from '../../../server/ingest/whatsapp/connect-gate.ts';
import { SharedCache } from '../../../server/ingest/whatsapp/shared-cache.ts';

/** Time that passes only when it is told to. */
function handClock() {
  let now = 0;
  const sleeping: { until: number; wake: () => void }[] = [];
  return {
    now: () => now,
    elapsed: () => now,
    random: () => 0,
    sleep: (ms: number) =>
      new Promise<void>((resolve) => sleeping.push({ until: now + ms, wake: resolve })),
    pass: async (ms: number) => {
      const end = now + ms;
      for (;;) {
        await flush();
        const next = Math.min(...sleeping.map(({ until }) => until), end);
        now = next;
        for (const each of sleeping.splice(0)) {
          if (each.until <= now) each.wake();
          else sleeping.push(each);
        }
        await flush();
        if (now >= end && sleeping.every(({ until }) => until > end)) return;
      }
    },
  };
}

async function flush(): Promise<void> {
  for (let turn = 0; turn < 20; turn++) await Promise.resolve();
}

describe('the gate for new connections', () => {
  let clock: ReturnType<typeof handClock>;
  let gate: ConnectGate;
  let waits: number[];
  const forever = new AbortController().signal;
  beforeEach(() => {
    clock = handClock();
    waits = [];
    gate = new ConnectGate({ clock, onEnter: (ms) => waits.push(ms) });
  });
  const enter = (entered: number[], name: number, signal = forever) =>
    gate.enter(signal).then((leave) => {
      entered.push(name);
      return leave;
    });

  it('lets in four in a second, in the order they came', async () => {
    const entered: number[] = [];
    for (let name = 0; name < 6; name++) void enter(entered, name);
    await clock.pass(0);
    expect(entered).toEqual([0]);
    await clock.pass(750);
    expect(entered).toEqual([0, 1, 2, 3]);
    await clock.pass(500);
    expect(entered).toEqual([0, 1, 2, 3, 4, 5]);
    expect(waits).toEqual([0, 250, 500, 750, 1_000, 1_250]);
  });

  it('holds ten that are not logged in yet, and the next when one of them is, once', async () => {
    const entered: number[] = [];
    const leaving = Array.from({ length: 12 }, (_, name) => enter(entered, name));
    await clock.pass(60_000);
    expect(entered).toHaveLength(10);
    const leave = await leaving[0]!;
    leave();
    leave();
    await clock.pass(60_000);
    expect(entered).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
  });

  it('lets nobody wait for one who has given up', async () => {
    const entered: number[] = [];
    const given = new AbortController();
    void enter(entered, 0);
    const refused = enter(entered, 1, given.signal).catch((error: unknown) => error);
    void enter(entered, 2);
    given.abort(new Error('gave up'));
    expect(await refused).toMatchObject({ message: 'gave up' });
    await clock.pass(250);
    expect(entered).toEqual([0, 2]);
    await expect(gate.enter(given.signal)).rejects.toThrow('gave up');
    expect(gate.waiting).toBe(0);
  });
});

describe('what Baileys remembers', () => {
  it('is of one device, for a while, and so much that what was used longest ago goes', async () => {
    const clock = handClock();
    const cache = new SharedCache({ clock, entriesMax: 3, lifeMs: 1_000 });
    const [one, two] = [cache.of(1), cache.of(2)];
    await one.set('a', 1);
    await two.set('a', 2);
    await one.set('b', 3);
    expect([one.get('a'), two.get('a'), one.get('b')]).toEqual([1, 2, 3]);
    one.get('a');
    await one.set('c', 4);
    expect([one.get('a'), two.get('a'), one.get('b'), one.get('c')]).toEqual([1, undefined, 3, 4]);
    await one.flushAll();
    await two.set('a', 5);
    expect([one.get('a'), two.get('a'), cache.size]).toEqual([undefined, 5, 1]);
    await clock.pass(1_000);
    expect([two.get('a'), cache.size]).toEqual([undefined, 0]);
  });
});
