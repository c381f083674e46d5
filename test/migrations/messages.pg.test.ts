import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { sql } from '../../platform/sql.ts';
import { at, openConversationWorld, type ConversationWorld } from './conversation-world.ts';

let world: ConversationWorld;

beforeAll(async () => {
  world = await openConversationWorld();
});

afterAll(() => world.close());

describe('a chat', () => {
  it('shows its newest message and counts what was received', async () => {
    const chat = await world.newChat();
    await world.say({ chat, at: at('09:00'), body: 'One' });
    const [id] = await world.say({ chat, at: at('09:01'), body: 'x'.repeat(300), type: 'image' });
    expect(await world.chat(chat)).toMatchObject({
      last_message_id: String(id),
      last_message: 'x'.repeat(200),
      last_message_type: 'image',
      last_message_is_from_me: 'f',
      last_at: '09:01',
      inbound_at: '09:01',
      is_sorted_by_it: 't',
      unread_count: '2',
      is_unread: 't',
    });
  });

  it('does not count what was sent from here, and shows it', async () => {
    const chat = await world.newChat();
    await world.say({ chat, at: at('09:00'), body: 'Ours', mine: true, status: 'pending' });
    expect(await world.chat(chat)).toMatchObject({
      last_message: 'Ours',
      last_message_is_from_me: 't',
      inbound_at: null,
      unread_count: '0',
      is_unread: 'f',
    });
  });

  it('keeps its preview when an older message arrives, and counts it', async () => {
    const chat = await world.newChat();
    await world.say({ chat, at: at('09:05'), body: 'Newer', mine: true });
    await world.say({ chat, at: at('09:00'), body: 'Older' });
    expect(await world.chat(chat)).toMatchObject({
      last_message: 'Newer',
      last_at: '09:05',
      inbound_at: '09:00',
      unread_count: '1',
    });
  });

  it('shows the later to come of two messages of one moment', async () => {
    const chat = await world.newChat();
    await world.say({ chat, at: at('09:00'), body: 'First' });
    await world.say({ chat, at: at('09:00'), body: 'Second' });
    expect((await world.chat(chat))['last_message']).toBe('Second');
  });

  it('is written once however many messages come in one statement', async () => {
    const [first, second] = [await world.newChat(), await world.newChat()];
    const written = await world.logged(() =>
      world.say(
        { chat: first, at: at('09:03'), body: 'A3' },
        { chat: second, at: at('09:02'), body: 'B2' },
        { chat: first, at: at('09:01'), body: 'A1' },
        { chat: second, at: at('09:04'), body: 'B4', mine: true },
        { chat: first, at: at('09:02'), body: 'A2' },
      ),
    );
    expect(written.toSorted()).toEqual([
      ...Array.from({ length: 2 }, () => 'chats: UPDATE'),
      ...Array.from({ length: 5 }, () => 'messages: INSERT'),
    ]);
    expect(await world.chat(first)).toMatchObject({ last_message: 'A3', unread_count: '3' });
    expect(await world.chat(second)).toMatchObject({ last_message: 'B4', unread_count: '1' });
  });

  it('does not count history that was read long ago', async () => {
    const chat = await world.newChat();
    await world.say({ chat, at: at('09:00'), body: 'Old', status: 'read' });
    expect(await world.chat(chat)).toMatchObject({ last_message: 'Old', unread_count: '0' });
  });

  it('is not written for an older message that was read', async () => {
    const chat = await world.newChat();
    await world.say({ chat, at: at('09:05') });
    const written = await world.logged(() =>
      world.say({ chat, at: at('09:00'), status: 'read' }, { chat, at: at('08:00'), mine: true }),
    );
    expect(written).toEqual(['messages: INSERT', 'messages: INSERT']);
  });

  it('has no inbound message as long as only notices of the system came', async () => {
    const chat = await world.newChat();
    await world.say({ chat, at: at('09:00'), type: 'system', status: 'read' });
    expect(await world.chat(chat)).toMatchObject({ inbound_at: null, last_message_type: 'system' });
  });

  it('counts what came after it was read, and moves that mark forward only', async () => {
    const chat = await world.newChat();
    await world.say(
      { chat, at: at('09:00') },
      { chat, at: at('09:10') },
      { chat, at: at('09:20') },
    );
    const read = (time: string) =>
      world.db.query(sql`update public.chats set last_read_at = ${at(time)} where id = ${chat}`);
    await read('09:10');
    expect(await world.chat(chat)).toMatchObject({ unread_count: '1', is_unread: 't' });
    await read('09:05');
    expect(await world.chat(chat)).toMatchObject({ read_at: '09:10', unread_count: '1' });
    await read('09:20');
    expect(await world.chat(chat)).toMatchObject({ unread_count: '0', is_unread: 'f' });
    await world.say({ chat, at: at('09:15') });
    expect((await world.chat(chat))['unread_count']).toBe('0');
    await world.say({ chat, at: at('09:21') });
    expect((await world.chat(chat))['unread_count']).toBe('1');
  });

  it('stays marked as unread by hand until it is read', async () => {
    const chat = await world.newChat();
    await world.say({ chat, at: at('09:00') });
    await world.db.query(
      sql`update public.chats set last_read_at = ${at('09:00')} where id = ${chat}`,
    );
    await world.db.query(sql`update public.chats set is_unread = true where id = ${chat}`);
    await world.say({ chat, at: at('09:01'), mine: true });
    expect(await world.chat(chat)).toMatchObject({ unread_count: '0', is_unread: 't' });
    await world.db.query(
      sql`update public.chats set last_read_at = ${at('09:01')} where id = ${chat}`,
    );
    expect((await world.chat(chat))['is_unread']).toBe('f');
  });

  it('is counted anew when messages are deleted, and shows what is left', async () => {
    const chat = await world.newChat();
    const [, second, third] = await world.say(
      { chat, at: at('09:00'), body: 'One' },
      { chat, at: at('09:01'), body: 'Two' },
      { chat, at: at('09:02'), body: 'Three' },
    );
    await world.db.query(sql`delete from public.messages where id = any(${[second, third]})`);
    expect(await world.chat(chat)).toMatchObject({ last_message: 'One', unread_count: '1' });
    await world.db.query(sql`delete from public.messages where chat_id = ${chat}`);
    expect(await world.chat(chat)).toMatchObject({
      last_message_id: null,
      last_message: null,
      last_at: null,
      unread_count: '0',
      is_unread: 'f',
    });
  });

  it('is not written when a message is deleted that it neither shows nor counts', async () => {
    const chat = await world.newChat();
    const [id] = await world.say({ chat, at: at('09:00'), mine: true }, { chat, at: at('09:01') });
    const written = await world.logged(() =>
      world.db.query(sql`delete from public.messages where id = ${id}`),
    );
    expect(written).toEqual(['messages: DELETE']);
  });

  it('loses what goes to another chat, which gains it with its device', async () => {
    const [from, to] = [await world.newChat(), await world.newChat()];
    await world.db.query(
      sql`update public.chats set device_id = ${world.ours.deviceIds[1]} where id = ${to}`,
    );
    const [, id] = await world.say(
      { chat: from, at: at('09:00'), body: 'Stays' },
      { chat: from, at: at('09:01'), body: 'Goes' },
    );
    await world.db.query(sql`update public.messages set chat_id = ${to} where id = ${id}`);
    expect(await world.chat(from)).toMatchObject({ last_message: 'Stays', unread_count: '1' });
    expect(await world.chat(to)).toMatchObject({ last_message: 'Goes', unread_count: '1' });
    expect((await world.message(id!))['device_id']).toBe(String(world.ours.deviceIds[1]));
  });

  it('is written once when many of its messages change in one statement', async () => {
    const chat = await world.newChat();
    await world.say(
      { chat, at: at('09:00') },
      { chat, at: at('09:01') },
      { chat, at: at('09:02') },
    );
    const written = await world.logged(() =>
      world.db.query(sql`update public.messages set status = 'read' where chat_id = ${chat}`),
    );
    expect(written.filter((change) => change === 'chats: UPDATE')).toHaveLength(1);
    expect(await world.chat(chat)).toMatchObject({ unread_count: '0', is_unread: 'f' });
  });
});

describe('two who write into one chat at once', () => {
  it('lose no count, and show the newer message', async () => {
    const chat = await world.newChat();
    const { accountId } = world.ours;
    const insert = (time: string) => sql`
      insert into public.messages (account_id, chat_id, body, sent_at, status)
      values (${accountId}, ${chat}, ${time}, ${at(time)}, 'received')`;
    let second: Promise<unknown> | undefined;
    await world.db.transaction(async (tx) => {
      await tx.query(insert('09:10'));
      second = world.db.query(insert('09:00'));
      await world.untilOneWaits();
    });
    await second;
    expect(await world.chat(chat)).toMatchObject({ last_message: '09:10', unread_count: '2' });
  });

  it('lose no count in a crowd, some of whom read it', async () => {
    const [one, two] = [await world.newChat(), await world.newChat()];
    const say = (index: number) =>
      world.say(
        { chat: index % 2 ? one : two, at: at(`10:${String(10 + index)}`), body: String(index) },
        { chat: index % 2 ? two : one, at: at(`11:${String(10 + index)}`), body: String(index) },
      );
    await Promise.all([
      ...Array.from({ length: 24 }, (_, index) => say(index)),
      world.db.query(sql`update public.chats set last_read_at = ${at('09:00')} where id = ${one}`),
    ]);
    expect(await world.chat(one)).toMatchObject({ unread_count: '24', last_at: '11:32' });
    expect(await world.chat(two)).toMatchObject({ unread_count: '24', last_at: '11:33' });
  });
});

describe('everything that was ever said', () => {
  it('is forgotten by every chat when the messages are truncated', async () => {
    const chat = await world.newChat();
    await world.say({ chat, at: at('09:00'), body: 'Gone soon' });
    await world.db.query(sql`truncate public.messages cascade`);
    expect(await world.chat(chat)).toMatchObject({
      last_message_id: null,
      last_message: null,
      inbound_at: null,
      unread_count: '0',
      is_unread: 'f',
    });
  });

  it('keeps a chat unread as long as something in it is', async () => {
    const chat = await world.newChat();
    await world.say({ chat, at: at('09:00'), body: 'Read me' });
    await world.db.query(sql`update public.chats set is_unread = false where id = ${chat}`);
    expect(await world.chat(chat)).toMatchObject({ unread_count: '1', is_unread: 't' });
  });
});
