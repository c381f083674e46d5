import { beforeAll, expect, it } from 'vitest';
import { sql } from '../../platform/sql.ts';
import { forgetReads, readUntoldReads } from '../../server/commands/untold-reads.ts';
import { markChatRead } from '../../server/commands/mark-chat-read.ts';
import { write } from '../../server/ingest/whatsapp/device-context.ts';
import { startTellingReads } from '../../server/ingest/whatsapp/tell-reads.ts';
import { eventually } from '../support/eventually.ts';
import {
  keepRinging,
  openOutboxWorld,
  type OutboxWorld,
  type Stage,
  type Worker,
} from './whatsapp-outbox-world.ts';

let world: OutboxWorld;

beforeAll(async () => {
  world = await openOutboxWorld();
});

/** As an agent does. */
const read = ({ accountId }: Stage, chatId: number) =>
  world.owner.transaction((tx) => markChatRead(tx, { accountId, chatId, isRead: true }));
const arrive = async ({ accountId }: Stage, chatId: number, ...stanzas: string[]) => {
  for (const stanza of stanzas)
    await world.owner.query(sql`
      insert into public.messages (account_id, chat_id, message_id, body, is_from_me, status, from_jid)
      select account_id, id, ${stanza}, 'x', false, 'received', jid from public.chats
      where account_id = ${accountId} and id = ${chatId}`);
};
const told = ({ device }: Stage) =>
  device
    .receipts()
    .filter(({ type }) => type === 'read')
    .map(({ id }) => id);
const notes = ({ deviceId }: Stage) =>
  world.owner.query(sql`select chat_id from private.whatsapp_reads where device_id = ${deviceId}`);
const telling = (worker: Worker) => {
  const running = startTellingReads(worker.context, worker.linked);
  keepRinging(running);
  return running;
};

it('what an agent reads is read for WhatsApp, each message once', async () => {
  const stage = await world.stage();
  const chatId = await stage.chatWith(stage.ana);
  const other = await stage.chatWith(stage.own);
  await arrive(stage, chatId, 'SECOND', 'THIRD');
  await arrive(stage, other, 'OTHER');
  const worker = await stage.link();
  const running = telling(worker);
  await read(stage, chatId);
  await eventually(() => told(stage).length > 0);
  await eventually(async () => (await notes(stage)).length === 0);
  await arrive(stage, chatId, 'FOURTH');
  await read(stage, chatId);
  await eventually(() => stage.device.receipts().some(({ id }) => id === 'FOURTH'));
  await running.stop();
  const stanzas = stage.fake.world.log
    .list({ device: stage.device.jid, way: 'in', tag: 'receipt' })
    .map(({ attrs }) => attrs['id']);
  expect(stanzas).toEqual(['FIRST', 'FOURTH']);
});

it('what was read while nobody was connected is told then, and what the phone has read is not', async () => {
  const stage = await world.stage();
  const chatId = await stage.chatWith(stage.ana);
  await arrive(stage, chatId, 'ON_PHONE', 'HERE');
  await world.owner.query(sql`
    update public.messages set status = 'read'
    where account_id = ${stage.accountId} and message_id in ('FIRST', 'ON_PHONE')`);
  await read(stage, chatId);
  const running = telling(await stage.link());
  await eventually(() => told(stage).includes('HERE'));
  await running.stop();
  expect(told(stage)).toEqual(['HERE']);
});

it('what is read while WhatsApp is being told is told next', async () => {
  const stage = await world.stage();
  const chatId = await stage.chatWith(stage.ana);
  const { context } = await stage.link();
  await read(stage, chatId);
  const reads = await readUntoldReads(context.database, { ...context, max: 10 });
  expect(reads[0]?.messages.map(({ stanzaId }) => stanzaId)).toEqual(['FIRST']);
  await arrive(stage, chatId, 'SECOND');
  await read(stage, chatId);
  await write(context, (tx) => forgetReads(tx, context, reads));
  const next = await readUntoldReads(context.database, { ...context, max: 10 });
  expect(next[0]?.messages.map(({ stanzaId }) => stanzaId)).toEqual(['FIRST', 'SECOND']);
  await write(context, (tx) => forgetReads(tx, context, next));
  expect(await notes(stage)).toEqual([]);
});
