import { beforeAll, describe, expect, it } from 'vitest';
import { sql } from '../../platform/sql.ts';
import { readWhatsappMessages } from '../../server/commands/keep-whatsapp-message.ts';
import { startOutbox } from '../../server/ingest/whatsapp/outbox.ts';
import { SEND_REFUSALS } from '../../server/whatsapp/judge-send.ts';
import { eventually } from '../support/eventually.ts';
import {
  keepRinging,
  openOutboxWorld,
  type OutboxWorld,
  type Stage,
} from './whatsapp-outbox-world.ts';

let world: OutboxWorld;

beforeAll(async () => {
  world = await openOutboxWorld();
});

/** With a device that works, and a chat in which Ana has written. */
const start = async (options: { newChatsPerDay?: number } = {}) => {
  const stage = await world.stage();
  const chatId = await stage.chatWith(stage.ana);
  const worker = await stage.work(options);
  return { ...stage, chatId, worker };
};
const arrives = ({ ana }: Pick<Stage, 'ana'>, id: string) =>
  eventually(() => ana.find(id), { says: 'it arrives' });

describe('what waits to be sent arrives, decrypted, once', () => {
  it('a text; WhatsApp’s answer makes it sent', async () => {
    const stage = await start();
    const { id, stanzaId } = await stage.pending(stage.chatId, { body: 'Good morning' });
    const { message, times } = await arrives(stage, stanzaId);
    expect(message.extendedTextMessage?.text).toBe('Good morning');
    await stage.becomes(id, 'sent');
    expect(times).toBe(1);
    expect(stage.fake.world.errors()).toEqual([]);
    // Our phone has its copy.
    await eventually(() => stage.own.find(stanzaId)?.isOwn);
  });

  it('an answer, a poll, a place, cards, a forwarded one', async () => {
    const stage = await start();
    const { chatId, ana } = stage;
    const sends = [
      {
        body: 'Yes',
        quoted_message_id: 'FIRST',
        quoted_from_jid: ana.phoneJid,
        quoted_body: 'Hello',
      },
      {
        message_type: 'poll',
        body: 'When?',
        poll: { options: ['Today', 'Later'], selectable_count: 1 },
      },
      { message_type: 'location', location: { latitude: -12, longitude: -77 } },
      { message_type: 'contact', body: 'BEGIN:VCARD\nFN:Rosa\nEND:VCARD' },
      { body: 'Again', is_forwarded: true },
    ];
    const rows = [];
    for (const send of sends) rows.push(await stage.pending(chatId, send));
    for (const { id } of rows) await stage.becomes(id, 'sent');
    expect(ana.received().map(({ id }) => id)).toEqual(rows.map(({ stanzaId }) => stanzaId));
    const [answer, poll, place, card, again] = ana.received().map(({ message }) => message);
    expect(answer?.extendedTextMessage?.contextInfo).toMatchObject({
      stanzaId: 'FIRST',
      participant: ana.phoneJid,
      quotedMessage: { conversation: 'Hello' },
    });
    const options = poll?.pollCreationMessageV3?.options?.map(({ optionName }) => optionName);
    expect(options).toEqual(['Today', 'Later']);
    expect(place?.locationMessage?.degreesLatitude).toBe(-12);
    expect(card?.contactMessage?.displayName).toBe('Rosa');
    expect(again?.extendedTextMessage?.contextInfo?.isForwarded).toBe(true);
    // With the secret by which its votes are opened.
    const { context } = stage.worker;
    const messageId = rows[1]?.stanzaId ?? '';
    const kept = await readWhatsappMessages(world.owner, context.box, { ...context, messageId });
    const secret = poll?.messageContextInfo?.messageSecret ?? [];
    expect([kept.length, secret.length]).toEqual([1, 32]);
    expect(kept[0]?.message.includes(Buffer.from(secret))).toBe(true);
  });

  it('a reaction, an edit and a revocation, which take effect when they are sent', async () => {
    const stage = await start();
    const { chatId, ana } = stage;
    const text = await stage.pending(chatId, { body: 'Helo' });
    const edit = await stage.pending(chatId, {
      message_type: 'edit',
      body: 'Hello',
      target_message_id: text.stanzaId,
    });
    await stage.becomes(edit.id, 'sent');
    expect(await stage.message(text.id)).toMatchObject({ body: 'Hello' });
    const reaction = await stage.pending(chatId, {
      message_type: 'reaction',
      body: '👍',
      target_message_id: 'FIRST',
    });
    const revoke = await stage.pending(chatId, {
      message_type: 'revoke',
      target_message_id: text.stanzaId,
    });
    await stage.becomes(revoke.id, 'sent');
    // It quotes what was there when it was written, and no longer is.
    const quoting = { body: 'As I said', quoted_message_id: text.stanzaId, quoted_body: 'Hello' };
    const answer = await stage.pending(chatId, quoting);
    const { message } = await arrives(stage, answer.stanzaId);
    expect(message.extendedTextMessage).toMatchObject({ text: 'As I said', contextInfo: null });
    expect((await stage.message(text.id))['revoked_at']).not.toBeNull();
    expect(ana.find(edit.stanzaId)).toMatchObject({
      edit: '1',
      message: { protocolMessage: { key: { id: text.stanzaId, fromMe: true } } },
    });
    expect(ana.find(reaction.stanzaId)?.message.reactionMessage).toMatchObject({
      text: '👍',
      key: { id: 'FIRST', fromMe: false },
    });
    expect(ana.find(revoke.stanzaId)?.edit).toBe('7');
  });

  it('once more to who could not read it', async () => {
    const stage = await start();
    stage.ana.failures = 1;
    const { stanzaId } = await stage.pending(stage.chatId, { body: 'Again?' });
    const { message } = await arrives(stage, stanzaId);
    expect(message.extendedTextMessage?.text).toBe('Again?');
  });

  it('while somebody else’s devices are not known, for want of an answer', async () => {
    const stage = await start();
    const luis = stage.fake.addPerson({ phone: '51955555555', name: 'Luis' });
    const quick = await stage.chatWith(luis);
    stage.fake.world.faults.add({ times: 1, does: { kind: 'query-silence', xmlns: 'usync' } });
    const slow = await stage.pending(stage.chatId, { body: 'slow' });
    await stage.becomes(slow.id, 'sending');
    const { id } = await stage.pending(quick, { body: 'quick' });
    await stage.becomes(id, 'sent');
    expect((await stage.message(slow.id))['status']).toBe('sending');
  });

  it('in the order in which it was written, whatever it waits for in between', async () => {
    const stage = await start();
    stage.fake.world.faults.add({ does: { kind: 'ack-delay', ms: 300 } });
    const rows = [];
    for (const body of ['1', '2', '3']) rows.push(await stage.pending(stage.chatId, { body }));
    for (const { id } of rows) await stage.becomes(id, 'sent');
    const texts = stage.ana.received().map(({ message }) => message.extendedTextMessage?.text);
    expect(texts).toEqual(['1', '2', '3']);
  });
});

describe('what WhatsApp refuses', () => {
  it.each([
    [463, SEND_REFUSALS.restricted],
    [479, SEND_REFUSALS.rejected],
  ])('with %i fails for good, and those behind it go', async (error, reason) => {
    const stage = await start();
    stage.fake.world.faults.add({ times: 1, does: { kind: 'ack-error', error } });
    const { id, stanzaId } = await stage.pending(stage.chatId, { body: 'No' });
    const next = await stage.pending(stage.chatId, { body: 'next' });
    expect(await stage.becomes(id, 'failed')).toMatchObject({ error: reason });
    await stage.becomes(next.id, 'sent');
    expect(stage.ana.find(stanzaId)).toBeUndefined();
  });

  it('with 429 is paused: nothing is sent, and nothing has failed', async () => {
    const stage = await start();
    stage.fake.world.faults.add({ times: 1, does: { kind: 'ack-error', error: 429 } });
    const { id } = await stage.pending(stage.chatId, { body: 'Slower' });
    await eventually(async () => {
      const [note] = await world.owner.query(sql`
        select attempts, next_at > now() + interval '50 seconds' as is_later
        from private.whatsapp_sends where message_id = ${id}`);
      return note?.['attempts'] === '0' && note['is_later'] === 't';
    });
    const other = await stage.pending(await stage.chatWith(stage.own), { body: 'too' });
    expect((await stage.message(other.id))['status']).toBe('pending');
    expect((await stage.message(id))['status']).toBe('sending');
  });
});

describe('somebody who was never written to', () => {
  it('is looked up first; the LID that comes with the answer is theirs from then on', async () => {
    const stage = await world.stage();
    const chatId = await stage.chatWith(stage.ana, { isNew: true });
    const { id, stanzaId } = await stage.pending(chatId, { body: 'First' });
    await stage.work();
    await arrives(stage, stanzaId);
    await stage.becomes(id, 'sent');
    await eventually(async () => {
      const rows = await world.owner.query(sql`
        select value from public.contact_identities
        where account_id = ${stage.accountId} and kind = 'lid' and value = ${`${stage.ana.lid}@lid`}`);
      return rows.length === 1;
    });
  });

  it('who is not on WhatsApp is not written to, and was no new conversation', async () => {
    const stage = await world.stage();
    const nobody = { name: 'Nobody', phoneJid: '51911111111@s.whatsapp.net' };
    const chatId = await stage.chatWith(nobody, { isNew: true });
    const { id } = await stage.pending(chatId, { body: 'Anybody?' });
    await stage.work();
    expect(await stage.becomes(id, 'failed')).toMatchObject({
      error: SEND_REFUSALS.not_on_whatsapp,
    });
    const begun = await world.owner.query(sql`
      select chat_id from private.whatsapp_first_contacts where device_id = ${stage.deviceId}`);
    expect(begun).toEqual([]);
  });

  it('is found by the spelling that WhatsApp has, which the chat takes over', async () => {
    const stage = await world.stage();
    const pedro = stage.fake.addPerson({ phone: '5215512345678', name: 'Pedro' });
    const chatId = await stage.chatWith(pedro, {
      isNew: true,
      jid: '525512345678@s.whatsapp.net',
    });
    const { stanzaId } = await stage.pending(chatId, { body: 'Hola' });
    await stage.work();
    await eventually(() => pedro.find(stanzaId));
    const [chat] = await world.owner.query(sql`select jid from public.chats where id = ${chatId}`);
    expect(chat?.['jid']).toBe('5215512345678@s.whatsapp.net');
  });

  it('is not written to any more when enough others were', async () => {
    const stage = await world.stage();
    const chatId = await stage.chatWith(stage.ana, { isNew: true });
    const luis = stage.fake.addPerson({ phone: '51955555555', name: 'Luis' });
    const first = await stage.pending(chatId, { body: 'First' });
    const second = await stage.pending(await stage.chatWith(luis, { isNew: true }), {
      body: 'Second',
    });
    await stage.work({ newChatsPerDay: 1 });
    await stage.becomes(first.id, 'sent');
    await eventually(async () => (await stage.message(second.id))['error']?.startsWith('Waits:'));
    expect(luis.received()).toEqual([]);
  });
});

describe('a contact that does not want it any more', () => {
  it('is asked for right before it leaves, however late that is', async () => {
    const stage = await world.stage();
    const chatId = await stage.chatWith(stage.ana, { isNew: true });
    const { id, stanzaId } = await stage.pending(chatId, { body: 'Still?' });
    // Claimed, and while WhatsApp looks the number up, they say no.
    const fault = stage.fake.world.faults.add({ does: { kind: 'query-silence', xmlns: 'usync' } });
    const first = await stage.work();
    await stage.becomes(id, 'sending');
    await world.owner.query(sql`
      update public.contacts set do_not_contact = true where account_id = ${stage.accountId}`);
    stage.fake.world.faults.remove(fault.id);
    await first.kill();
    await stage.work();
    expect(await stage.becomes(id, 'failed')).toMatchObject({
      error: SEND_REFUSALS.do_not_contact,
    });
    expect(stage.ana.find(stanzaId)).toBeUndefined();
  });
});

describe('a worker that ends', () => {
  it('between claim and sending: the next one sends it, by the same secret', async () => {
    const stage = await world.stage();
    const chatId = await stage.chatWith(stage.ana);
    const first = await stage.link();
    const { context, linked } = first;
    const relayMessage = () => new Promise<string>(() => undefined);
    const socket = { ...linked.socket, relayMessage };
    const outbox = startOutbox(context, { ...linked, socket });
    keepRinging(outbox);
    const { id, stanzaId } = await stage.pending(chatId, {
      message_type: 'poll',
      body: 'Once?',
      poll: { options: ['Yes', 'No'], selectable_count: 1 },
    });
    const which = { ...context, messageId: stanzaId };
    const kept = await eventually(
      async () => (await readWhatsappMessages(world.owner, context.box, which))[0]?.message,
    );
    await first.kill();
    await outbox.stop();
    await stage.work();
    await stage.becomes(id, 'sent');
    const arrived = stage.ana.find(stanzaId);
    expect(arrived?.times).toBe(1);
    const secret = arrived?.message.messageContextInfo?.messageSecret;
    expect(secret).toHaveLength(32);
    expect(kept.includes(Buffer.from(secret ?? []))).toBe(true);
  });

  it('between sending and the answer: the next one sends the same, and it is shown once', async () => {
    const stage = await world.stage();
    const chatId = await stage.chatWith(stage.ana);
    const fault = stage.fake.world.faults.add({ does: { kind: 'ack-drop' } });
    const first = await stage.work();
    const { id, stanzaId } = await stage.pending(chatId, { body: 'Once' });
    await arrives(stage, stanzaId);
    await first.kill();
    stage.fake.world.faults.remove(fault.id);
    expect((await stage.message(id))['status']).toBe('sending');
    await stage.work();
    await stage.becomes(id, 'sent');
    expect(stage.ana.find(stanzaId)?.times).toBe(2);
    expect(stage.ana.received()).toHaveLength(1);
    expect(stage.fake.world.errors()).toEqual([]);
  });

  it('as it should, in the middle of much: everything arrives, in order, once', async () => {
    const stage = await world.stage();
    const chatId = await stage.chatWith(stage.ana);
    const rows: { id: number; stanzaId: string }[] = [];
    for (let n = 0; n < 20; n++) rows.push(await stage.pending(chatId, { body: String(n) }));
    const first = await stage.work();
    await stage.becomes(rows[5]?.id ?? 0, 'sent');
    await first.stop();
    await stage.work();
    await stage.becomes(rows.at(-1)?.id ?? 0, 'sent');
    expect(stage.ana.received().map(({ id }) => id)).toEqual(rows.map(({ stanzaId }) => stanzaId));
  });
});
