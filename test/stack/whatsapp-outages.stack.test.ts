import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createRandom } from '../../fakes/kommo/random.ts';
import type { LinkedDevice } from '../../fakes/whatsapp/linked-device.ts';
import type { Person } from '../../fakes/whatsapp/person.ts';
import { eventually, startPostgres, type TestPostgres } from '../support/services.ts';
import type { RunningRole } from '../support/spawn-role.ts';
import type { TestAccount } from './support/stack.ts';
import { startWhatsappStack, TIMEOUT_MS, type WhatsappStack } from './support/whatsapp-stack.ts';

const SEED = Number(process.env['CLARIN_SEED'] ?? Date.now() % 1_000_000);
const DEVICES = 2;
const PEOPLE = 4;
/** Of a device: what waits, so that an outage does not make a flood of it. */
const BACKLOG_MAX = 60;

type Device = { id: number; own: Person; linked: LinkedDevice };

/** Whatever goes away in a storm comes back, and what was receipted is there once; nothing of it is in any log. */
describe(`what fails around the ingest of WhatsApp (seed ${SEED})`, () => {
  const random = createRandom(SEED);
  let postgres: TestPostgres;
  let world: WhatsappStack;
  let account: TestAccount;
  let devices: Device[];
  let people: Person[];
  let ingest: RunningRole;
  let isStorm = true;
  let blowing: Promise<void>;
  const written = new Map<string, string[]>();
  let count = 0;

  const storm = async (): Promise<void> => {
    const beganAt = Math.floor(Date.now() / 1_000) - 86_400;
    while (isStorm) {
      const device = devices[Math.floor(random.next() * devices.length)];
      const person = people[Math.floor(random.next() * people.length)];
      if (!device || !person) continue;
      if (device.linked.queue.waitingCount < BACKLOG_MAX) {
        // By this clock they are ordered: what comes live may overtake what waited.
        const atSeconds = beganAt + ++count;
        const to = { from: person, to: device.own };
        const { id } = await world.fake.write(to, `secreto ${count}`, { atSeconds });
        const key = `${device.id} ${person.phone}`;
        written.set(key, [...(written.get(key) ?? []), id]);
      }
      await new Promise((resolve) => setTimeout(resolve, random.next() * 30));
    }
  };

  beforeAll(async () => {
    postgres = await startPostgres();
    world = await startWhatsappStack({ postgres });
    [account] = world.stack.accounts;
    const numbers = Array.from({ length: DEVICES }, (_, n) => `5199900000${n + 1}`);
    devices = await Promise.all(numbers.map((phone) => world.addLinked(account, phone)));
    people = Array.from({ length: PEOPLE }, (_, n) =>
      world.fake.addPerson({ phone: `5198765432${n}`, name: `Person ${n}` }),
    );
    ingest = await world.spawnIngest({ LOG_LEVEL: 'trace' });
    blowing = storm();
  });
  afterAll(async () => {
    isStorm = false;
    await blowing;
    await world.close();
    await postgres.remove();
  });

  const receiptedCount = (): number =>
    devices
      .flatMap(({ linked }) => linked.queue.list())
      .filter(({ settled }) => settled?.by === 'receipt').length;

  const untilTaken = (more: number): Promise<boolean> => {
    const from = receiptedCount();
    return eventually(
      async () => {
        const count = receiptedCount();
        if (count >= from + more) return true;
        const rows = await world.stack.sql('select id, status, status_code, retry_at from devices');
        const waiting = devices.map(({ linked }) => linked.queue.waitingCount);
        throw new Error(JSON.stringify({ count, waiting, rows }));
      },
      { says: `${more} more are receipted`, timeoutMs: 2 * TIMEOUT_MS },
    );
  };

  /** How often the worker was not heard of for so long that it stopped its work. */
  const givenUp = (): number =>
    ingest.log.filter(({ message }) => String(message).startsWith('not heard of')).length;

  const untilNoneIsOpen = (): Promise<boolean> =>
    eventually(() => world.fake.world.connections.counts().open === 0, {
      says: 'no socket is open',
      timeoutMs: TIMEOUT_MS,
    });

  it.each(['fast', 'immediate', 'immediate'] as const)(
    'Postgres is gone (%s) for longer than a socket waits for it',
    async (mode) => {
      await untilTaken(20);
      await postgres.stop(mode);
      await untilNoneIsOpen();
      await postgres.start();
      await untilTaken(20);
    },
    4 * TIMEOUT_MS,
  );

  it(
    'Postgres is gone for longer than a worker is believed to live',
    async () => {
      await untilTaken(20);
      const before = givenUp();
      await postgres.stop('immediate');
      await eventually(() => givenUp() > before, {
        says: 'the worker gives itself up',
        timeoutMs: TIMEOUT_MS,
      });
      await untilNoneIsOpen();
      await postgres.start();
      await untilTaken(20);
    },
    4 * TIMEOUT_MS,
  );

  it(
    'Postgres is restarted, again and again',
    async () => {
      for (let n = 0; n < 4; n++) {
        await untilTaken(10);
        await postgres.restart(n % 2 === 0 ? 'fast' : 'immediate');
      }
    },
    8 * TIMEOUT_MS,
  );

  it(
    'WhatsApp sends twice, in another order, and goes away',
    async () => {
      for (const { linked } of devices) {
        const { faults } = world.fake.world;
        faults.add({ device: linked.jid, times: 30, does: { kind: 'duplicate' } });
        faults.add({ device: linked.jid, times: 30, does: { kind: 'reorder' } });
      }
      await untilTaken(60);
      await world.fake.goDown();
      await untilNoneIsOpen();
      await world.fake.comeBack();
      await untilTaken(20);
    },
    4 * TIMEOUT_MS,
  );

  it(
    'Redis is gone: nothing of it is needed',
    async () => {
      await world.stack.redis.stop();
      await untilTaken(20);
      await world.stack.redis.start();
    },
    2 * TIMEOUT_MS,
  );

  it(
    'and every message is there, once and in order',
    async () => {
      isStorm = false;
      await blowing;
      await eventually(() => devices.every(({ linked }) => linked.queue.waitingCount === 0), {
        says: 'all that was written is receipted',
        timeoutMs: 3 * TIMEOUT_MS,
      });
      await eventually(
        async () => {
          const rows = await world.stack.sql(
            'select attrs, attempts, error from private.whatsapp_inbox',
          );
          if (rows.length > 0) throw new Error(JSON.stringify(rows.slice(0, 5)));
          return true;
        },
        { says: 'the inbox is empty', timeoutMs: TIMEOUT_MS },
      );
      for (const [key, ids] of written) {
        const [deviceId, phone] = key.split(' ');
        const rows = await world.stack.sql(
          `select message.message_id, message.message_type
           from messages as message
           join chats as chat on chat.id = message.chat_id
           join contacts as contact on contact.id = chat.contact_id
           where message.device_id = $1 and contact.phone = $2
           order by message.sent_at, message.id`,
          [deviceId, phone],
        );
        expect({ key, ids: rows.map((row) => row['message_id']) }).toEqual({ key, ids });
        expect(rows.filter((row) => row['message_type'] !== 'text')).toEqual([]);
      }
      expect(world.fake.world.connections.counts().doubles).toBe(0);
    },
    6 * TIMEOUT_MS,
  );

  it('and no number, no name and no text is in the log', () => {
    const log = [...ingest.text, ...ingest.log.map((line) => JSON.stringify(line))].join('\n');
    expect(log).toContain('a device is');
    expect(log.match(/.*(secreto|519876543|519990000|Person \d).*/g) ?? []).toEqual([]);
  });
});
