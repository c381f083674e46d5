import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { LinkedDevice } from '../../fakes/whatsapp/linked-device.ts';
import { createRandom } from '../../fakes/kommo/random.ts';
import type { Person } from '../../fakes/whatsapp/person.ts';
import { eventually } from '../support/services.ts';
import type { RunningRole } from '../support/spawn-role.ts';
import { startModel, untilEqual } from './support/compare.ts';
import type { ModelClient } from './support/model-client.ts';
import type { TestAccount } from './support/stack.ts';
import { startWhatsappStack, TIMEOUT_MS, type WhatsappStack } from './support/whatsapp-stack.ts';

/** `CLARIN_KILLS=30 CLARIN_SEED=7 npx vitest run test/stack/whatsapp-loss.stack.test.ts` for longer. */
const KILLS = Number(process.env['CLARIN_KILLS'] ?? 5);
const SEED = Number(process.env['CLARIN_SEED'] ?? Date.now() % 1_000_000);
const DEVICES = 3;
const PEOPLE = 4;
/** Of a device. */
const BACKLOG_MAX = 100;
const TABLES = ['chats', 'messages', 'contacts'].map((table) => ({ table }));

type Device = { id: number; own: Person; linked: LinkedDevice };

/** What was receipted will not come again: it must be there, whatever has happened in between. */
describe(`no message is lost (seed ${SEED})`, () => {
  const random = createRandom(SEED);
  let world: WhatsappStack;
  let account: TestAccount;
  let browser: ModelClient;
  let devices: Device[];
  let people: Person[];
  let ingest: RunningRole;

  beforeAll(async () => {
    world = await startWhatsappStack();
    [account] = world.stack.accounts;
    const numbers = Array.from({ length: DEVICES }, (_, n) => `5199900000${n + 1}`);
    devices = await Promise.all(numbers.map((phone) => world.addLinked(account, phone)));
    people = Array.from({ length: PEOPLE }, (_, n) =>
      world.fake.addPerson({ phone: `5198765432${n}`, name: `Person ${n}` }),
    );
    browser = await startModel(world.stack, world.truth, account, TABLES);
  });
  afterAll(async () => {
    browser.close();
    await world.close();
  });

  const untilConnected = async (): Promise<void> => {
    for (const { id } of devices) await world.untilStatus(id, 'connected');
  };

  /** The next worker need not wait until this one is taken for dead. */
  const kill = async (): Promise<void> => {
    ingest.kill('SIGKILL');
    await ingest.exited;
    await world.stack.sql('delete from private.ingest_workers');
  };

  const settledIds = ({ linked }: Device): string[] =>
    linked.queue
      .list()
      .flatMap((stanza) => (stanza.settled?.by === 'receipt' ? [String(stanza.id)] : []));

  const receiptedCount = (): number =>
    devices.reduce((sum, device) => sum + settledIds(device).length, 0);

  it('when the connection ends before what was offline is said to be over', async () => {
    const [device, ana] = [devices[0], people[0]];
    if (!device || !ana) throw new Error('nobody is there');
    const written: string[] = [];
    for (const text of ['one', 'two', 'three'])
      written.push((await world.fake.write({ from: ana, to: device.own }, text)).id);
    world.fake.world.faults.add({ device: device.linked.jid, does: { kind: 'withhold-offline' } });
    ingest = await world.spawnIngest();
    await eventually(() => written.every((id) => settledIds(device).includes(id)), {
      says: 'all three are receipted',
      timeoutMs: TIMEOUT_MS,
    });
    world.fake.breakOff(device.linked, { kind: 'reset' });
    await kill();
    world.fake.world.faults.clear();
    ingest = await world.spawnIngest();
    await eventually(
      async () => {
        const rows = await world.stack.sql(
          'select message_id from messages where device_id = $1 order by id',
          [device.id],
        );
        expect(rows.map((row) => row['message_id'])).toEqual(written);
        return true;
      },
      { says: 'they are messages, in order', timeoutMs: TIMEOUT_MS },
    );
    await untilConnected();
  });

  it(
    `when the worker is killed ${KILLS} times in a storm`,
    async () => {
      const written = new Map<string, string[]>();
      const beganAt = Math.floor(Date.now() / 1_000) - 86_400;
      let isStorm = true;
      let count = 0;
      const storm = async (): Promise<void> => {
        while (isStorm) {
          const device = devices[Math.floor(random.next() * devices.length)];
          const person = people[Math.floor(random.next() * people.length)];
          if (!device || !person) continue;
          // As fast as it is taken, on whatever machine.
          await eventually(() => device.linked.queue.waitingCount < BACKLOG_MAX || !isStorm, {
            says: 'what was written is taken',
            timeoutMs: 2 * TIMEOUT_MS,
          });
          const text = `storm ${count++}`;
          // WhatsApp's clock is one of seconds, and what comes live may overtake what waited: by this clock they are ordered.
          const atSeconds = beganAt + count;
          const { id } = await world.fake.write({ from: person, to: device.own }, text, {
            atSeconds,
          });
          const key = `${device.id} ${person.phone}`;
          written.set(key, [...(written.get(key) ?? []), id]);
          await new Promise((resolve) => setTimeout(resolve, random.next() * 40));
        }
      };
      const blowing = storm();
      const receiptedAtKill: number[] = [];
      for (let n = 0; n < KILLS; n++) {
        const from = receiptedCount();
        // Somewhere in the middle of it: counted in receipts, so that a slow machine is killed at as many places.
        const more = 1 + Math.floor(random.next() * 60);
        await eventually(() => receiptedCount() >= from + more, {
          says: `${more} more are receipted`,
          timeoutMs: TIMEOUT_MS,
          everyMs: 1,
        });
        await kill();
        receiptedAtKill.push(receiptedCount());
        ingest = await world.spawnIngest();
      }
      isStorm = false;
      await blowing;
      await eventually(() => devices.every(({ linked }) => linked.queue.waitingCount === 0), {
        says: 'all that was written is receipted',
        timeoutMs: 3 * TIMEOUT_MS,
      });
      await eventually(
        async () => {
          const [row] = await world.stack.sql('select count(*) from private.whatsapp_inbox');
          if (row?.['count'] !== '0') throw new Error(`${String(row?.['count'])} in the inbox`);
          return true;
        },
        { says: 'the inbox is empty', timeoutMs: TIMEOUT_MS },
      );
      process.stdout.write(
        `${count} written, receipted at the kills: ${receiptedAtKill.join(' ')}\n`,
      );

      for (const [key, ids] of written) {
        const [deviceId, phone] = key.split(' ');
        const rows = await world.stack.sql(
          `select message.message_id, chat.unread_count
         from messages as message
         join chats as chat on chat.id = message.chat_id
         join contacts as contact on contact.id = chat.contact_id
         where message.device_id = $1 and contact.phone = $2 and message.body like 'storm %'
         order by message.sent_at, message.id`,
          [deviceId, phone],
        );
        expect({ key, ids: rows.map((row) => row['message_id']) }).toEqual({ key, ids });
      }
      const previews = await world.stack.sql(
        `select chat.id from chats as chat
       where chat.last_message_id <> (
         select id from messages where chat_id = chat.id order by sent_at desc, id desc limit 1
       )`,
      );
      expect(previews).toEqual([]);
      const wrong = await world.stack.sql(
        `select chat.id, chat.unread_count, count(message.id)
       from chats as chat
       left join messages as message on message.chat_id = chat.id and message.status = 'received'
       group by chat.id having chat.unread_count <> count(message.id)`,
      );
      expect(wrong).toEqual([]);
      await world.stack.settle();
      await untilEqual(browser, world.truth, account.id, TIMEOUT_MS);
      expect(browser.faults).toEqual([]);
      expect(world.fake.world.connections.counts().doubles).toBe(0);
    },
    60_000 + KILLS * 60_000,
  );
});
