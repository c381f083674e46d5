import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { sql } from '../../../platform/sql.ts';
import { receiveMessage } from '../../../server/commands/receive-message.ts';
import { openCommandWorld, type CommandWorld } from './command-world.ts';

let world: CommandWorld;

beforeAll(async () => {
  world = await openCommandWorld();
});

afterAll(() => world.close());

const messagesOf = (chatId: number) =>
  world.all(sql`
    select message_id, message_type, body, is_from_me, from_jid, from_name, status, media_id
    from public.messages where chat_id = ${chatId} order by id`);
const contactOf = (id: number) =>
  world.one(sql`
    select jid, lid, phone, name, push_name, is_group, source from public.contacts where id = ${id}`);

describe('the first message of somebody', () => {
  it('makes the contact, its addresses, the chat, the counters and a lead in one transaction', async () => {
    const { phone, jid } = world.newNumber();
    const lid = `${phone}1@lid`;
    const { value: received, statements } = await world.counted((tx) =>
      receiveMessage(tx, world.options({ jid, lid, fromName: 'Ana 🙂', messageId: 'FIRST' })),
    );
    expect(statements).toBe(8);
    expect(received.outcome).toBe('written');
    expect(await contactOf(received.contactId)).toEqual({
      jid,
      lid,
      phone,
      name: null,
      push_name: 'Ana 🙂',
      is_group: 'f',
      source: 'whatsapp',
    });
    expect(await world.chat(received.chatId)).toMatchObject({
      last_message: 'Hello',
      last_message_id: String(received.id),
      unread_count: '1',
      contact_id: String(received.contactId),
    });
    expect(await messagesOf(received.chatId)).toEqual([
      {
        message_id: 'FIRST',
        message_type: 'text',
        body: 'Hello',
        is_from_me: 'f',
        from_jid: jid,
        from_name: 'Ana 🙂',
        status: 'received',
        media_id: null,
      },
    ]);
    expect(await world.leadsOf(received.contactId)).toEqual([
      {
        id: String(received.leadId),
        title: 'Ana 🙂',
        stage_id: String(world.ours.stages.active[0]),
        source: 'whatsapp',
      },
    ]);
  });

  it('is nothing at all when the transaction fails', async () => {
    const { jid } = world.newNumber();
    const failing = world.run(async (tx) => {
      await receiveMessage(tx, world.options({ jid }));
      throw new Error('the worker was killed');
    });
    await expect(failing).rejects.toMatchObject({ code: 'unavailable' });
    expect(await world.all(sql`select id from public.contacts where jid = ${jid}`)).toEqual([]);
  });

  it('opens no lead for who has one, for history, for groups, for what we wrote, for notices', async () => {
    const none = async (delivered: Parameters<CommandWorld['receive']>[0]) => {
      const { contactId, leadId } = await world.receive(delivered);
      expect(leadId).toBeUndefined();
      expect(await world.leadsOf(contactId)).toEqual([]);
      return contactId;
    };
    await none({ jid: world.newNumber().jid, isHistory: true });
    await none({ jid: '120363000000000009@g.us', from: world.newNumber().jid });
    await none({ jid: world.newNumber().jid, content: { kind: 'system' } });
    const { jid } = world.newNumber();
    await none({ jid, isFromMe: true });
    // The first that they write themselves.
    const { contactId, leadId } = await world.receive({ jid });
    expect(leadId).toBeDefined();
    await world.all(sql`update public.leads set deleted_at = now() where id = ${leadId}`);
    const elsewhere = await world.receive({ jid, deviceId: world.ours.deviceIds[1] ?? 0 });
    expect(elsewhere).toMatchObject({ contactId, leadId: undefined });
  });

  it('is received when the account has no default stage', async () => {
    const stage = world.ours.stages.active[0];
    const setStage = (id: number | null | undefined) =>
      world.all(
        sql`update public.accounts set default_stage_id = ${id ?? null} where id = ${world.accountId}`,
      );
    await setStage(null);
    const received = await world.receive({ jid: world.newNumber().jid });
    await setStage(stage);
    expect(received).toMatchObject({ outcome: 'written', leadId: undefined });
  });

  it('makes one contact, one chat and one lead, however many come at once by whichever spelling', async () => {
    const [mexican] = ['5215587654321'];
    const spellings = [
      { jid: `${mexican}@s.whatsapp.net` },
      { jid: '525587654321@s.whatsapp.net' },
      { jid: '525587654321@s.whatsapp.net', lid: '991@lid' },
      { jid: `${mexican}@s.whatsapp.net`, lid: '991@lid' },
    ];
    const all = await Promise.all(spellings.map((delivered) => world.receive(delivered)));
    const [first] = all;
    expect(new Set(all.map(({ contactId }) => contactId)).size).toBe(1);
    expect(new Set(all.map(({ chatId }) => chatId)).size).toBe(1);
    expect(all.filter(({ leadId }) => leadId !== undefined)).toHaveLength(1);
    expect(await world.leadsOf(first!.contactId)).toHaveLength(1);
    expect((await world.chat(first!.chatId))['unread_count']).toBe('4');
  });
});

describe('a message', () => {
  it('takes two statements in a chat that is there', async () => {
    const { jid } = world.newNumber();
    await world.receive({ jid, fromName: 'Ana' });
    const { statements } = await world.counted((tx) =>
      receiveMessage(tx, world.options({ jid, fromName: 'Ana' })),
    );
    expect(statements).toBe(2);
    const written = await world.logged(() => world.receive({ jid, fromName: 'Ana' }));
    expect(written).toEqual(['messages: INSERT', 'chats: UPDATE']);
  });

  it('writes nothing when it comes again, from whichever address', async () => {
    const { phone, jid } = world.newNumber();
    const lid = `${phone}2@lid`;
    const image = {
      kind: 'image',
      file: { mimetype: 'image/jpeg', size: 10 },
    } as const;
    const first = await world.receive({ jid, lid, messageId: 'AGAIN', content: image });
    const again = await world.logged(async () => {
      for (const delivered of [{ jid, lid }, { jid: lid }, { jid }]) {
        const { chatId, outcome, id } = await world.receive({
          ...delivered,
          messageId: 'AGAIN',
          content: image,
        });
        expect({ chatId, outcome, id }).toEqual({
          chatId: first.chatId,
          outcome: 'known',
          id: undefined,
        });
      }
    });
    expect(again).toEqual([]);
  });

  it('comes once when it comes twice at the same time, and so does its file', async () => {
    const { jid } = world.newNumber();
    await world.receive({ jid });
    const file = { mimetype: 'application/pdf', filename: 'twice.pdf', size: 1 };
    const twice = await Promise.all(
      Array.from({ length: 4 }, () =>
        world.receive({ jid, messageId: 'TWICE', content: { kind: 'document', file } }),
      ),
    );
    expect(twice.map(({ outcome }) => outcome).toSorted()).toEqual([
      'known',
      'known',
      'known',
      'written',
    ]);
    expect(
      await world.all(sql`select id from public.media where filename = 'twice.pdf'`),
    ).toHaveLength(1);
  });

  it('of the phone is ours, sent, and not unread', async () => {
    const { jid } = world.newNumber();
    const { chatId, contactId } = await world.receive({
      jid,
      isFromMe: true,
      fromName: 'Our shop',
    });
    expect(await messagesOf(chatId)).toMatchObject([
      { is_from_me: 't', from_jid: null, status: 'sent' },
    ]);
    expect((await world.chat(chatId))['unread_count']).toBe('0');
    expect((await contactOf(contactId))['push_name']).toBeNull();
  });

  it('of history is read and keeps a newer preview', async () => {
    const { jid } = world.newNumber();
    const { chatId } = await world.receive({ jid, content: { kind: 'text', text: 'Newest' } });
    await world.receive({ jid, isHistory: true, sentAt: '2020-01-01T00:00:00Z' });
    await world.receive({
      jid,
      isHistory: true,
      sentAt: '2020-01-02T00:00:00Z',
      isFromMe: true,
      status: 'read',
    });
    expect(await world.chat(chatId)).toMatchObject({ last_message: 'Newest', unread_count: '1' });
    expect((await messagesOf(chatId)).map((row) => row['status'])).toEqual([
      'received',
      'read',
      'read',
    ]);
  });

  it('keeps the name its writer has now, and writes none that is known', async () => {
    const { jid } = world.newNumber();
    const { contactId } = await world.receive({ jid, fromName: 'Ana' });
    await world.receive({ jid, fromName: 'Ana Q.' });
    expect((await contactOf(contactId))['push_name']).toBe('Ana Q.');
    await world.receive({ jid });
    expect((await contactOf(contactId))['push_name']).toBe('Ana Q.');
  });

  it('of a group is of its contact, and says who wrote it', async () => {
    const from = world.newNumber().jid;
    const { chatId, contactId } = await world.receive({
      jid: '120363000000000010@g.us',
      from: from.replace('@', ':12@'),
      fromName: 'Ana',
      chatName: 'Family',
    });
    expect(await contactOf(contactId)).toMatchObject({
      name: 'Family',
      is_group: 't',
      push_name: null,
    });
    expect(await messagesOf(chatId)).toMatchObject([{ from_jid: from, from_name: 'Ana' }]);
  });

  it('is refused when it is from nobody one talks with, and from a device that is not there', async () => {
    for (const jid of ['status@broadcast', '0@s.whatsapp.net', '12345@newsletter', 'x'])
      await expect(world.receive({ jid })).rejects.toMatchObject({ code: 'unprocessable' });
    const { jid } = world.newNumber();
    const [theirs = 0] = world.theirs.deviceIds;
    await expect(world.receive({ jid, deviceId: theirs })).rejects.toMatchObject({
      code: 'unprocessable',
    });
  });
});
