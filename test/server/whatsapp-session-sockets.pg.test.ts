import { makeWASocket, type ConnectionState, type WASocket } from '@whiskeysockets/baileys';
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest';
import { startFakeWhatsApp, type FakeWhatsApp } from '../../fakes/whatsapp/fake-whatsapp.ts';
import type { LinkedDevice } from '../../fakes/whatsapp/linked-device.ts';
import type { Person } from '../../fakes/whatsapp/person.ts';
import { silent } from '../../fakes/whatsapp/quiet.ts';
import { sql } from '../../platform/sql.ts';
import { SessionOver } from '../../server/ingest/whatsapp/device-session.ts';
import { eventually } from '../support/services.ts';
import { openSessionWorld, type SessionWorld, type Worked } from './whatsapp-session-world.ts';

let world: SessionWorld;
let fake: FakeWhatsApp;
beforeAll(async () => {
  world = await openSessionWorld();
  fake = await startFakeWhatsApp();
  await world.owner.query(sql`create table public.test_failing (device_id bigint)`);
  await world.owner.query(sql`
    create function public.test_fail() returns trigger language plpgsql security definer as $$
    begin
      if exists (select from public.test_failing where device_id = new.device_id) then
        raise exception 'the disk is full' using errcode = '53100';
      end if;
      return null;
    end $$`);
  await world.owner.query(sql`
    create constraint trigger test_fail after insert on private.whatsapp_inbox
    deferrable initially deferred for each row execute function public.test_fail()`);
});
afterAll(async () => {
  expect(fake.world.errors()).toEqual([]);
  await fake.stop();
});

type Stage = { worked: Worked; device: LinkedDevice; own: Person; ana: Person };
let phones = 0;

async function stage(): Promise<Stage> {
  const number = phones++;
  const own = fake.addPerson({ phone: `5199900000${number}` });
  const ana = fake.addPerson({ phone: `5198765432${number}`, name: 'Ana' });
  const { device, creds } = fake.makeCredentials(own);
  return { worked: await world.device({ creds }), device, own, ana };
}

type Joined = { socket: WASocket; updates: Partial<ConnectionState>[] };

/** A real socket by the device's session, as its worker makes it. */
function join({ session }: Worked): Joined {
  const socket = makeWASocket({
    auth: session.auth,
    makeSignalRepository: session.makeSignalRepository,
    transactionOpts: { maxCommitRetries: 1, delayBetweenTriesMs: 0 },
    waWebSocketUrl: fake.url,
    logger: silent,
    markOnlineOnConnect: false,
    shouldSyncHistoryMessage: () => false,
  });
  session.watch(socket);
  const updates: Partial<ConnectionState>[] = [];
  socket.ev.on('creds.update', session.merge);
  socket.ev.on('connection.update', (update) => updates.push(update));
  onTestFinished(() => void socket.end(undefined));
  return { socket, updates };
}

const isOpen = ({ updates }: Joined) =>
  eventually(() => updates.some(({ connection }) => connection === 'open'), { says: 'it opens' });
const closed = ({ updates }: Joined) =>
  eventually(() => updates.find(({ connection }) => connection === 'close'), { says: 'it closes' });
const received = (worked: Worked, texts: readonly string[]) =>
  eventually(async () => {
    expect(await worked.texts()).toEqual(texts);
    return true;
  });
const answers = (device: LinkedDevice, id: string) =>
  device.receipts().filter((receipt) => receipt.id === id);

/** Ends the socket as a worker does, and begins the next one. */
async function joinAgain(worked: Worked, joined: Joined): Promise<Joined> {
  await joined.socket.end(undefined);
  await worked.session.close();
  await worked.reopen();
  const next = join(worked);
  await isOpen(next);
  return next;
}

test('a receipt leaves after the commit, and not before', async () => {
  const { worked, device, own, ana } = await stage();
  await isOpen(join(worked));
  await worked.session.flush();
  let id = '';
  await world.owner.transaction(async (tx) => {
    await tx.query(sql`
      select device_id from private.whatsapp_sessions
      where device_id = ${worked.context.deviceId} for update`);
    ({ id } = await fake.write({ from: ana, to: own }, 'hola'));
    await eventually(
      async () =>
        (await world.owner.query(sql`select pid from pg_locks where not granted`)).length > 0,
      { says: 'the commit waits' },
    );
    expect(answers(device, id)).toEqual([]);
    expect(device.queue.waitingCount).toBe(1);
  });
  await eventually(() => answers(device, id).length === 1, { says: 'the receipt comes' });
  expect(await worked.texts()).toEqual(['hola']);
});

test('a commit that fails is answered by nothing, and the message comes again by the next socket', async () => {
  const { worked, device, own, ana } = await stage();
  const joined = join(worked);
  await isOpen(joined);
  await world.owner.query(sql`
    insert into public.test_failing (device_id) values (${worked.context.deviceId})`);
  const { id } = await fake.write({ from: ana, to: own }, 'hola');
  const { lastDisconnect } = await closed(joined);
  expect(lastDisconnect?.error).toBeInstanceOf(SessionOver);
  expect(answers(device, id)).toEqual([]);
  expect(device.queue.list().filter((queued) => queued.id === id)).toMatchObject([
    { settled: undefined },
  ]);
  expect(await worked.texts()).toEqual([]);
  await world.owner.query(sql`delete from public.test_failing`);
  await joinAgain(worked, joined);
  await received(worked, ['hola']);
  await eventually(() => answers(device, id).length === 1, { says: 'the receipt comes' });
  expect(answers(device, id)).not.toMatchObject([{ type: 'retry' }]);
});

test('what Baileys holds back until everything missed has come is in the inbox, also when that is never', async () => {
  const { worked, own, ana } = await stage();
  fake.world.faults.add({ does: { kind: 'withhold-offline' }, times: 1 });
  for (const text of ['one', 'two', 'three']) await fake.write({ from: ana, to: own }, text);
  const joined = join(worked);
  const emitted: unknown[] = [];
  joined.socket.ev.on('messages.upsert', (upsert) => emitted.push(upsert));
  await received(worked, ['one', 'two', 'three']);
  expect(emitted).toEqual([]);
  const next = await joinAgain(worked, joined);
  await fake.write({ from: ana, to: own }, 'four');
  await received(worked, ['one', 'two', 'three', 'four']);
  expect(next.updates.some(({ connection }) => connection === 'close')).toBe(false);
});

test('a device is paired, and its session goes on over restarts, in both directions', async () => {
  const own = fake.addPerson({ phone: '51999000100' });
  const ana = fake.addPerson({ phone: '51987000100' });
  const worked = await world.device({ creds: {} });
  const joined = join(worked);
  const qr = await eventually(() => joined.updates.findLast((update) => update.qr)?.qr);
  fake.scan(own, qr);
  await closed(joined);
  let socket = (await joinAgain(worked, joined)).socket;
  expect(worked.session.auth.creds.me?.id).toContain('51999000100:');
  const texts: string[] = [];
  for (const text of ['one', 'two', 'three']) {
    await fake.write({ from: ana, to: own }, text);
    await received(worked, [...texts, text]);
    texts.push(text);
    const sent = await socket.sendMessage('51987000100@s.whatsapp.net', { text: `re: ${text}` });
    await eventually(() => ana.find(sent?.key.id ?? '') !== undefined, { says: 'Ana has it' });
    ({ socket } = await joinAgain(worked, { socket, updates: [] }));
  }
  expect(ana.received().map(({ message }) => message.extendedTextMessage?.text)).toEqual([
    're: one',
    're: two',
    're: three',
  ]);
});
