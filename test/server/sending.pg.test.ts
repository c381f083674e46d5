import { beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { sentAs } from '../../server/commands/send-media.ts';
import { sendMessage } from '../../server/commands/send-message.ts';
import { sql } from '../../platform/sql.ts';
import { restrictedTo } from './restricted-role.ts';
import { reasonOf, startSendingWorld, type SendingWorld } from './sending-world.ts';
import type { Caller, TestApi } from './support.ts';

let api: TestApi;
let one: Caller;
let two: Caller;
let chatId: number;
let mediaId: number;
let inbound: number;
let own: number;
let send: SendingWorld['send'];
let act: SendingWorld['act'];
let countMessages: SendingWorld['countMessages'];
let ownStatements: SendingWorld['ownStatements'];
let say: SendingWorld['say'];

beforeAll(async () => {
  ({ api, one, two, chatId, mediaId, send, act, countMessages, ownStatements, say } =
    await startSendingWorld());
});

beforeEach(async () => {
  ({ inbound, own } = await say());
});

describe('what is sent', () => {
  test('is a row in state pending that says by which device and who, answered as GET shows it', async () => {
    const answer = await send({ kind: 'text', body: ' Hello ', client_id: 'text-1' });
    expect(answer.status).toBe(202);
    expect(answer.headers['clarin-commit']).toBeDefined();
    expect(answer.body.data).toMatchObject({
      chat_id: chatId,
      device_id: one.deviceIds[1],
      message_type: 'text',
      body: ' Hello ',
      is_from_me: true,
      status: 'pending',
      client_id: 'text-1',
      actor_id: one.userId,
      is_forwarded: false,
      reactions: [],
      votes: [],
    });
    expect(answer.body.data.message_id).toMatch(/^3EB0[0-9A-F]{18}$/);
    const read = await api.ask(one, 'GET', `/api/messages/${answer.body.data.id}`);
    expect(read.text).toBe(answer.text);
    const chat = await api.ask(one, 'GET', `/api/chats/${chatId}`);
    expect(chat.body.data).toMatchObject({
      last_message: ' Hello ',
      last_message_is_from_me: true,
    });
  });

  test('costs three statements, whatever it is, and a file one more', async () => {
    const costs: number[] = [];
    const cost = async (asked: Promise<{ status: number }>): Promise<void> => {
      api.statements.length = 0;
      expect((await asked).status).toBe(202);
      costs.push(ownStatements().length);
    };
    await cost(send({ kind: 'text', body: 'Hello', reply_to: inbound }));
    await cost(send({ kind: 'poll', question: 'When?', options: ['Today', 'Tomorrow'] }));
    await cost(act(inbound, 'reaction', { emoji: '👍' }));
    await cost(act(own, 'edit', { body: 'Better' }));
    await cost(act(own, 'revoke'));
    await cost(send({ kind: 'media', media_id: mediaId }));
    expect(costs).toEqual([3, 3, 3, 3, 3, 4]);
  });

  test('may answer a message, whose beginning and author it names', async () => {
    await api.owner.query(
      sql`update public.messages set from_jid = '51999000001@s.whatsapp.net', body = ${'x'.repeat(2_000)} where id = ${inbound}`,
    );
    const { body } = await send({ kind: 'text', body: 'Yes', reply_to: inbound });
    const quoted = await api.ask(one, 'GET', `/api/messages/${inbound}`);
    expect(body.data).toMatchObject({
      quoted_message_id: quoted.body.data.message_id,
      quoted_from_jid: '51999000001@s.whatsapp.net',
      quoted_body: 'x'.repeat(1_000),
    });
    const ours = await send({ kind: 'text', body: 'And', reply_to: own });
    expect(ours.body.data).toMatchObject({
      quoted_from_jid: '51900000002@s.whatsapp.net',
      quoted_body: 'Ours',
    });
  });

  test('may be a file, as what its type makes of it', async () => {
    const answer = await send({ kind: 'media', media_id: mediaId, caption: 'Look' });
    expect(answer.body.data).toMatchObject({
      message_type: 'image',
      body: 'Look',
      media_id: mediaId,
      media: { mimetype: 'image/png', filename: 'picture.png', size: 0, state: 'stored' },
    });
    expect(
      ['image/JPEG', 'image/svg+xml', 'video/mp4', 'audio/ogg; codecs=opus', 'text/plain'].map(
        sentAs,
      ),
    ).toEqual(['image', 'document', 'video', 'audio', 'document']);
  });

  test('may be a poll', async () => {
    const answer = await send({
      kind: 'poll',
      question: 'When?',
      options: ['Today', 'Never'],
      selectable_count: 0,
    });
    expect(answer.body.data).toMatchObject({
      message_type: 'poll',
      body: 'When?',
      poll: { options: ['Today', 'Never'], selectable_count: 0 },
    });
  });

  test('is refused where it makes no sense', async () => {
    for (const body of [
      {},
      { kind: 'fax', body: 'x' },
      { kind: 'text' },
      { kind: 'text', body: ' \n' },
      { kind: 'text', body: 'a\0' },
      { kind: 'text', body: 'x', media_id: mediaId },
      { kind: 'text', body: 'x', client_id: '' },
      { kind: 'text', body: 'x', reply_to: 'IN1' },
      { kind: 'media' },
      { kind: 'poll', question: 'When?', options: ['Today'] },
      { kind: 'poll', question: 'When?', options: ['Today', 'Today'] },
      { kind: 'poll', question: 'When?', options: ['Today', 'Never'], selectable_count: 3 },
    ])
      expect({ body, status: (await send(body)).status }).toEqual({ body, status: 400 });
  });
});

describe('a client_id', () => {
  test('of a campaign is nobody else to choose: its message would count as sent', async () => {
    const before = await countMessages();
    const answer = await send({ kind: 'text', body: 'x', client_id: 'campaign:1:1' });
    expect([answer.status, answer.body.details.fields[0].field]).toEqual([400, 'body.client_id']);
    expect(await countMessages()).toBe(before);
  });

  test('that was used before answers the first row and writes nothing, whatever came in between', async () => {
    const first = await act(own, 'edit', { body: 'Better', client_id: 'edit-1' });
    await api.owner.query(
      sql`update public.messages set sent_at = now() - interval '1 hour' where id = ${own}`,
    );
    await api.owner.query(
      sql`update public.contacts set do_not_contact = true where id = ${one.contactIds[0]}`,
    );
    const before = await countMessages();
    const again = await act(own, 'edit', { body: 'Better', client_id: 'edit-1' });
    await api.owner.query(
      sql`update public.contacts set do_not_contact = false where id = ${one.contactIds[0]}`,
    );
    expect(again.status).toBe(202);
    expect(again.text).toBe(first.text);
    expect(await countMessages()).toBe(before);
  });

  test('is one message when two send it at the same time', async () => {
    const before = await countMessages();
    const answers = await Promise.all(
      Array.from({ length: 5 }, () => send({ kind: 'text', body: 'Once', client_id: 'race-1' })),
    );
    expect(answers.map(({ status }) => status)).toEqual([202, 202, 202, 202, 202]);
    expect(new Set(answers.map(({ text }) => text)).size).toBe(1);
    expect(await countMessages()).toBe(before + 1);
  });

  test('is one message when the other commits between the look and the writing', async () => {
    const message = {
      accountId: one.accountId,
      actorId: one.userId,
      chatId,
      body: 'Once',
      clientId: 'race-2',
    };
    const { value } = await api.database.transaction(async (tx) => {
      let statements = 0;
      return sendMessage(
        {
          query: async (statement) => {
            const rows = await tx.query(statement);
            if (statements++ === 0)
              await api.database.transaction((other) => sendMessage(other, message));
            return rows;
          },
        },
        message,
      );
    });
    const [row] = await api.owner.query(
      sql`select max(id) as id, count(*) as n from public.messages where client_id = 'race-2'`,
    );
    expect(row?.['n']).toBe('1');
    expect(value).toContain(`{"id":${row?.['id']},`);
  });

  test('of another chat is a conflict, and that of another account is nobody’s', async () => {
    await send({ kind: 'text', body: 'x', client_id: 'elsewhere' });
    const other = await send({ kind: 'text', body: 'x', client_id: 'elsewhere' }, one.chatIds[1]);
    expect(other.status).toBe(409);
    const theirs = await send(
      { kind: 'text', body: 'x', client_id: 'elsewhere' },
      two.chatIds[0],
      two,
    );
    expect(theirs.status).toBe(202);
  });
});

describe('nothing is sent', () => {
  const everything = (caller: { token: string }, chat = chatId) => [
    send({ kind: 'text', body: 'x' }, chat, caller),
    send({ kind: 'media', media_id: mediaId }, chat, caller),
    send({ kind: 'poll', question: 'x', options: ['a', 'b'] }, chat, caller),
    act(own, 'reaction', { emoji: '👍' }, caller),
    act(own, 'edit', { body: 'x' }, caller),
    act(own, 'revoke', {}, caller),
    act(own, 'forward', { to: [{ chat_id: chat }] }, caller),
  ];
  const statusesOf = async (answers: Promise<{ status: number }>[]) =>
    new Set((await Promise.all(answers)).map(({ status }) => status));

  test('in another account, by another device, or without the permission', async () => {
    const before = await countMessages();
    expect(await statusesOf(everything(two))).toEqual(new Set([404]));
    const outside = await restrictedTo(api, one, [one.deviceIds[0]]);
    expect(await statusesOf(everything(outside))).toEqual(new Set([404]));
    const leads = { token: await api.tokenOf(one, ['leads']) };
    expect(await statusesOf(everything(leads))).toEqual(new Set([403]));
    expect(await countMessages()).toBe(before);
    const inside = await restrictedTo(api, one, [one.deviceIds[1]]);
    expect((await send({ kind: 'text', body: 'x' }, chatId, inside)).status).toBe(202);
  });

  test('to who does not want it', async () => {
    const bar = (is: boolean) =>
      api.owner.query(
        sql`update public.contacts set do_not_contact = ${is} where id = ${one.contactIds[0]}`,
      );
    await bar(true);
    const answers = await Promise.all(everything(one));
    await bar(false);
    for (const answer of answers) expect(reasonOf(answer)).toEqual([422, 'do_not_contact']);
  });

  test('from a chat that has no device any more', async () => {
    const [chat] = await api.owner.query(sql`
      insert into public.chats (account_id, contact_id, jid)
      values (${one.accountId}, ${one.contactIds[2]}, '51999000077@s.whatsapp.net') returning id`);
    const answer = await send({ kind: 'text', body: 'x' }, Number(chat?.['id']));
    expect(reasonOf(answer)).toEqual([422, 'no_device']);
  });

  test('that is not there', async () => {
    const elsewhere = one.messageIds[0] ?? 0;
    const [other] = one.chatIds.slice(1);
    expect(reasonOf(await send({ kind: 'text', body: 'x', reply_to: elsewhere }, other))).toEqual([
      422,
      'no_such_message',
    ]);
    const [theirs] = await api.owner.query(
      sql`select id from public.media where account_id = ${two.accountId}`,
    );
    for (const id of [Number(theirs?.['id']), 9_007_199_254_740_991])
      expect(reasonOf(await send({ kind: 'media', media_id: id }))).toEqual([422, 'no_such_file']);
    // The file came by the second device of the two, which this role does not have.
    await api.owner.query(
      sql`update public.media set device_id = ${one.deviceIds[0]} where id = ${mediaId}`,
    );
    const caller = await restrictedTo(api, one, [one.deviceIds[1]]);
    const hidden = await send({ kind: 'media', media_id: mediaId }, chatId, caller);
    expect(reasonOf(hidden)).toEqual([422, 'no_such_file']);
    await api.owner.query(sql`update public.media set state = 'pending' where id = ${mediaId}`);
    const pending = await send({ kind: 'media', media_id: mediaId });
    await api.owner.query(sql`update public.media set state = 'stored' where id = ${mediaId}`);
    expect(reasonOf(pending)).toEqual([422, 'not_stored']);
    expect((await act(9_007_199_254_740_991, 'revoke')).status).toBe(404);
  });
});
