import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Queries } from '../../../platform/postgres.ts';
import { sql } from '../../../platform/sql.ts';
import { linkAddresses, unlinkedAddresses } from '../../../server/commands/link-addresses.ts';
import { receiveMessage } from '../../../server/commands/receive-message.ts';
import { openCommandWorld, type CommandWorld } from './command-world.ts';

let world: CommandWorld;
let accountId: number;

beforeAll(async () => {
  world = await openCommandWorld();
  ({ accountId } = world);
});

afterAll(() => world.close());

type Pair = { jid: string; lid: string };
const newPair = (): Pair => {
  const { phone, jid } = world.newNumber();
  return { jid, lid: `${phone}77@lid` };
};
const link = (pair: Pair) => world.run((tx) => linkAddresses(tx, { accountId, ...pair }));
const chatsOf = ({ jid, lid }: Pair) =>
  world.all(sql`
    select id, contact_id, jid, unread_count, last_message, is_pinned, is_archived, name
    from public.chats where jid in (${jid}, ${lid}) order by id`);
const contactsOf = ({ jid, lid }: Pair) =>
  world.all(
    sql`select id, jid, lid from public.contacts where jid = ${jid} or lid = ${lid} order by id`,
  );
const bodiesOf = async (chatId: number) =>
  (
    await world.all(sql`
      select body from public.messages where chat_id = ${chatId} and target_message_id is null
      order by sent_at, id`)
  ).map((row) => row['body']);
const text = (body: string) => ({ kind: 'text', text: body }) as const;

/** A chat by number, then one by LID, of one person whom nobody knows for one. */
async function twoChats(pair: Pair) {
  const ours = await world.receive({
    jid: pair.jid,
    isFromMe: true,
    content: text('Hello?'),
    messageId: 'OUT',
  });
  const theirs = await world.receive({
    jid: pair.lid,
    fromName: 'Ana',
    content: text('Yes'),
    messageId: 'IN',
  });
  expect(theirs.chatId).not.toBe(ours.chatId);
  expect(theirs.contactId).not.toBe(ours.contactId);
  return { older: ours.chatId, younger: theirs.chatId };
}

describe('a LID that is said to be a number’s', () => {
  it('makes one contact of two and one chat, which keeps the older id', async () => {
    const pair = newPair();
    const { older } = await twoChats(pair);
    expect(await link(pair)).toBe('linked');
    expect(await contactsOf(pair)).toMatchObject([pair]);
    expect(await chatsOf(pair)).toMatchObject([
      { id: String(older), jid: pair.jid, unread_count: '1', last_message: 'Yes' },
    ]);
    expect(await bodiesOf(older)).toEqual(['Hello?', 'Yes']);
  });

  it('writes nothing when it is known, and nothing for whom nobody knows', async () => {
    const pair = newPair();
    expect(await link(pair)).toBe('unknown');
    await twoChats(pair);
    await link(pair);
    const written = await world.logged(async () => {
      expect(await link(pair)).toBe('known');
    });
    expect(written).toEqual([]);
    expect(await contactsOf(newPair())).toEqual([]);
  });

  it('keeps the older chat also when that is the LID’s, under the number', async () => {
    const pair = newPair();
    const theirs = await world.receive({ jid: pair.lid, content: text('First') });
    await world.receive({ jid: pair.jid, isFromMe: true, content: text('Second') });
    await link(pair);
    expect(await chatsOf(pair)).toMatchObject([{ id: String(theirs.chatId), jid: pair.jid }]);
    expect(await bodiesOf(theirs.chatId)).toEqual(['First', 'Second']);
    const next = await world.receive({ ...pair, content: text('Third') });
    expect(next.chatId).toBe(theirs.chatId);
  });

  it('keeps a message that came by both once: the one that can be read, with reactions and votes of both', async () => {
    const pair = newPair();
    const older = await world.receive({
      jid: pair.jid,
      messageId: 'ONE',
      content: { kind: 'unknown' },
    });
    const poll = { kind: 'poll', question: 'When?', options: ['Now'], selectable: 1 } as const;
    const younger = await world.receive({ jid: pair.lid, messageId: 'ONE', content: poll });
    const react = (jid: string, emoji: string, sentAt: string) =>
      world.receive({ jid, sentAt, content: { kind: 'reaction', target: 'ONE', emoji } });
    await react(pair.jid, '👍', '2026-03-01T10:00:00Z');
    await react(pair.lid, '❤️', '2026-03-01T11:00:00Z');
    await world.all(sql`
      insert into public.poll_votes (account_id, target_id, chat_id, voter_jid, options, voted_at)
      values (${accountId}, ${younger.id}, ${younger.chatId}, ${pair.lid}, '{Now}', now())`);
    await link(pair);
    const [message, ...others] = await world.all(sql`
      select id, body, from_jid from public.messages where chat_id = ${older.chatId} and message_id = 'ONE'`);
    expect(others).toEqual([]);
    expect(message).toMatchObject({ body: 'When?', from_jid: pair.jid });
    const reactions = await world.all(sql`
      select sender_jid, emoji from public.message_reactions where target_id = ${message?.['id']}`);
    expect(reactions).toEqual([{ sender_jid: pair.jid, emoji: '❤️' }]);
    const votes = await world.all(sql`
      select voter_jid, options, chat_id from public.poll_votes where target_id = ${message?.['id']}`);
    expect(votes).toEqual([
      { voter_jid: pair.jid, options: '{Now}', chat_id: String(older.chatId) },
    ]);
  });

  it('applies what waited in one chat for a message in the other', async () => {
    const pair = newPair();
    const { chatId } = await world.receive({
      jid: pair.jid,
      messageId: 'SAID',
      content: text('Old'),
    });
    await world.receive({
      jid: pair.lid,
      content: { kind: 'edit', target: 'ELSEWHERE', text: '-' },
    });
    // An edit that came by the LID before anybody knew, in the chat of the LID.
    await world.all(sql`
      update public.messages set target_message_id = 'SAID', body = 'New'
      where account_id = ${accountId} and target_message_id = 'ELSEWHERE'`);
    await link(pair);
    expect(await bodiesOf(chatId)).toEqual(['New']);
  });

  it('joins tags, pins and names, and what was read stays read', async () => {
    const pair = newPair();
    const { older, younger } = await twoChats(pair);
    const [tag] = world.ours.tagIds;
    await world.all(sql`
      insert into public.chat_tags (account_id, chat_id, tag_id)
      values (${accountId}, ${younger}, ${tag})`);
    await world.all(sql`
      update public.chats set is_pinned = true, is_archived = true, name = 'Ana', last_read_at = now() + interval '1 s'
      where id = ${younger}`);
    await link(pair);
    expect(await chatsOf(pair)).toMatchObject([
      { id: String(older), is_pinned: 't', is_archived: 'f', name: 'Ana', unread_count: '0' },
    ]);
    const tags = await world.all(sql`select tag_id from public.chat_tags where chat_id = ${older}`);
    expect(tags).toEqual([{ tag_id: String(tag) }]);
  });

  it('leaves alone who has another number, and the chats of other devices', async () => {
    const pair = newPair();
    const other = newPair();
    await world.receive({ jid: other.jid, lid: pair.lid });
    await world.receive({ jid: pair.jid });
    await link(pair);
    expect(await chatsOf(pair)).toHaveLength(1);
    const third = newPair();
    const [, second = 0] = world.ours.deviceIds;
    await world.receive({ jid: third.jid });
    await world.receive({ jid: third.lid, deviceId: second });
    await link(third);
    expect(await chatsOf(third)).toHaveLength(2);
    expect(await contactsOf(third)).toHaveLength(1);
  });

  it('is found among thousands by one statement, when there is anything to do', async () => {
    const [known, apart, nobody] = [newPair(), newPair(), newPair()];
    await world.receive(known);
    await twoChats(apart);
    const { value, statements } = await world.counted((tx) =>
      unlinkedAddresses(tx, accountId, [known, apart, nobody]),
    );
    expect(value).toEqual([apart]);
    expect(statements).toBe(1);
  });
});

describe('at the same time', () => {
  const both = (one: (tx: Queries) => Promise<unknown>, other: (tx: Queries) => Promise<unknown>) =>
    Promise.all([world.run(one), world.run(other)]);

  it('two who link the same, and messages to both chats, lose nothing', async () => {
    for (let round = 0; round < 8; round += 1) {
      const pair = newPair();
      const { older } = await twoChats(pair);
      await both(
        (tx) => linkAddresses(tx, { accountId, ...pair }),
        (tx) => linkAddresses(tx, { accountId, ...pair }),
      );
      expect(await chatsOf(pair)).toMatchObject([{ id: String(older) }]);
    }
  });

  it('a message that is being written is waited for, and goes along', async () => {
    const pair = newPair();
    const { older, younger } = await twoChats(pair);
    // One contact already; what is locked now are the chats alone.
    await world.all(sql`
      update public.chats set contact_id = (select contact_id from public.chats where id = ${older})
      where id = ${younger}`);
    let linking: Promise<unknown> | undefined;
    await world.db.transaction(async (tx) => {
      const late = { jid: pair.lid, messageId: 'LATE', content: text('Late') };
      await receiveMessage(tx, world.options(late));
      linking = link(pair);
      await world.untilOneWaits();
    });
    expect(await linking).toBe('linked');
    expect(await bodiesOf(older)).toEqual(['Hello?', 'Yes', 'Late']);
  });

  it('a message that comes meanwhile is in the chat that stays, or comes again', async () => {
    for (let round = 0; round < 8; round += 1) {
      const pair = newPair();
      const { older } = await twoChats(pair);
      const late = { jid: pair.lid, messageId: 'LATE', content: text('Late') };
      const [, came] = await Promise.allSettled([link(pair), world.receive(late)]);
      if (came.status === 'rejected') {
        // The chat was gone when it was written; nobody waited for somebody who waited.
        expect(came.reason).toMatchObject({ code: 'conflict' });
        await world.receive(late);
      }
      expect(await bodiesOf(older)).toContain('Late');
      expect(await chatsOf(pair)).toHaveLength(1);
    }
  });
});
