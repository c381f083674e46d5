import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { LinkedDevice } from '../../fakes/whatsapp/linked-device.ts';
import type { Person } from '../../fakes/whatsapp/person.ts';
import { eventually } from '../support/services.ts';
import type { RunningRole } from '../support/spawn-role.ts';
import type { TestAccount } from './support/stack.ts';
import { startWhatsappStack, TIMEOUT_MS, type WhatsappStack } from './support/whatsapp-stack.ts';

const DEVICES = 20;

/** Each device is with one worker, whatever becomes of workers; WhatsApp counts how often it is open twice. */
describe('workers', () => {
  let world: WhatsappStack;
  let account: TestAccount;
  let devices: { id: number; own: Person; linked: LinkedDevice }[];
  const workers: RunningRole[] = [];

  beforeAll(async () => {
    world = await startWhatsappStack();
    [account] = world.stack.accounts;
    await world.stack.sql('update accounts set max_devices = 100');
    devices = [];
    for (let n = 0; n < DEVICES; n++)
      devices.push(await world.addLinked(account, `519990000${String(n).padStart(2, '0')}`));
    workers.push(await world.spawnIngest(), await world.spawnIngest());
  });
  afterAll(() => world.close());

  const openCount = (): number =>
    devices.filter(({ linked }) => world.fake.world.connections.find(linked)).length;
  /** How many devices each living worker has. */
  const shares = async (): Promise<number[]> => {
    const rows = await world.stack.sql(
      `select count(lease.resource)::integer as count
       from private.ingest_workers as worker
       left join private.ingest_leases as lease
         on lease.owner = worker.id and lease.resource like 'whatsapp:%'
       where worker.expires_at > clock_timestamp()
       group by worker.id order by 1`,
    );
    return rows.map((row) => Number(row['count']));
  };
  const untilAllOpen = (): Promise<unknown> =>
    eventually(
      async () => {
        const rows = await world.stack.sql(
          "select id from devices where status = 'connected' and last_seen_at is not null",
        );
        if (openCount() < DEVICES || rows.length < DEVICES)
          throw new Error(`${openCount()} are open, ${rows.length} are said to be`);
        return true;
      },
      { says: 'all devices are open', timeoutMs: 2 * TIMEOUT_MS },
    );

  it('share the devices', async () => {
    await untilAllOpen();
    await eventually(
      async () => {
        const now = await shares();
        expect(now).toEqual([DEVICES / 2, DEVICES / 2]);
        return true;
      },
      { says: 'each has half of them', timeoutMs: 2 * TIMEOUT_MS },
    );
    await untilAllOpen();
    expect(world.fake.world.connections.counts().doubles).toBe(0);
  });

  it('take over the devices of one that is killed, and what was written to them meanwhile', async () => {
    const [killed] = workers;
    if (!killed) throw new Error('nobody is there');
    killed.kill('SIGKILL');
    await killed.exited;
    const from = performance.now();
    const ana = world.fake.addPerson({ phone: '51987654321', name: 'Ana' });
    const written = await Promise.all(
      devices.map(({ own }) => world.fake.write({ from: ana, to: own }, 'Is anybody there?')),
    );
    await eventually(() => openCount() === DEVICES, {
      says: 'all are open again',
      timeoutMs: 2 * TIMEOUT_MS,
    });
    process.stdout.write(`open on the other after ${Math.round(performance.now() - from)} ms\n`);
    await eventually(
      async () => {
        const rows = await world.stack.sql(
          'select message_id from messages where message_id = any($1)',
          [written.map(({ id }) => id)],
        );
        return rows.length === DEVICES;
      },
      { says: 'each message is there once', timeoutMs: TIMEOUT_MS },
    );
    expect(world.fake.world.connections.counts().doubles).toBe(0);
  });

  it('hand over what they have when they are stopped, and to who comes', async () => {
    workers.push(await world.spawnIngest());
    await eventually(async () => (await shares()).join(' ') === `${DEVICES / 2} ${DEVICES / 2}`, {
      says: 'who came has half of them',
      timeoutMs: 2 * TIMEOUT_MS,
    });
    const [, stopped] = workers;
    const exit = await stopped?.stop();
    expect(exit).toEqual({ code: 0, signal: null });
    await eventually(() => openCount() === DEVICES, {
      says: 'all are open on the last one',
      timeoutMs: TIMEOUT_MS,
    });
    expect(world.fake.world.connections.counts().doubles).toBe(0);
    expect(world.fake.world.errors()).toEqual([]);
  });
});
