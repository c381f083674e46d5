import { beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { sql } from '../../platform/sql.ts';
import { isEmoji } from '../../server/api/rest/sending-schemas.ts';
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

/** What the worker does when WhatsApp has taken a message. */
const markSent = (id: number) =>
  api.owner.query(sql`update public.messages set status = 'sent' where id = ${id}`);

describe('what is done to a message', () => {
  test('shows in it once it was sent, and not before', async () => {
    const read = async () => (await api.ask(one, 'GET', `/api/messages/${own}`)).body.data;
    const reaction = await act(own, 'reaction', { emoji: '❤️' });
    const edit = await act(own, 'edit', { body: 'Better' });
    expect(reaction.body.data).toMatchObject({ message_type: 'reaction', status: 'pending' });
    expect(edit.body.data).toMatchObject({ message_type: 'edit', body: 'Better' });
    expect(edit.body.data.target_message_id).toBe((await read()).message_id);
    expect(await read()).toMatchObject({ body: 'Ours', reactions: [] });
    await markSent(reaction.body.data.id);
    await markSent(edit.body.data.id);
    expect(await read()).toMatchObject({ body: 'Better', reactions: [{ emoji: '❤️' }] });

    await markSent((await act(own, 'reaction', { emoji: null })).body.data.id);
    expect((await read()).reactions[0].emoji).toBeUndefined();
    await markSent((await act(own, 'revoke')).body.data.id);
    expect((await read()).body).toBeUndefined();
    expect((await read()).revoked_at).toBeDefined();
    const page = await api.ask(one, 'GET', `/api/chats/${chatId}/messages?limit=1`);
    expect(page.body.data[0].id).toBe(own);
  });

  test('is refused with the reason', async () => {
    const change = (id: number, set: ReturnType<typeof sql>) =>
      api.owner.query(sql`update public.messages set ${set} where id = ${id}`);
    expect(reasonOf(await act(inbound, 'edit', { body: 'x' }))).toEqual([422, 'not_own']);
    expect(reasonOf(await act(inbound, 'revoke'))).toEqual([422, 'not_own']);
    await change(own, sql`message_type = 'image'`);
    expect(reasonOf(await act(own, 'edit', { body: 'x' }))).toEqual([422, 'not_text']);
    await change(own, sql`message_type = 'text', sent_at = now() - interval '15 minutes 1 second'`);
    expect(reasonOf(await act(own, 'edit', { body: 'x' }))).toEqual([422, 'too_old']);
    await change(own, sql`sent_at = now() - interval '14 minutes'`);
    expect((await act(own, 'edit', { body: 'x' })).status).toBe(202);
    await change(own, sql`revoked_at = now()`);
    for (const [verb, body] of Object.entries({
      edit: { body: 'x' },
      revoke: {},
      reaction: { emoji: '👍' },
      forward: { to: [{ chat_id: chatId }] },
    }))
      expect(reasonOf(await act(own, verb, body))).toEqual([422, 'revoked']);
    expect(reasonOf(await send({ kind: 'text', body: 'x', reply_to: own }))).toEqual([
      422,
      'revoked',
    ]);
    const failed = await send({ kind: 'text', body: 'x' });
    await change(failed.body.data.id, sql`status = 'failed', error = 'no such number'`);
    expect(reasonOf(await act(failed.body.data.id, 'edit', { body: 'y' }))).toEqual([
      422,
      'not_sent',
    ]);
  });

  test('is no emoji when it is more or less than one', async () => {
    const emojis = ['👍', '❤', '❤️', '👨‍👩‍👧', '🇵🇪', '1️⃣', '👍🏽'];
    expect(emojis.filter((emoji) => !isEmoji(emoji))).toEqual([]);
    expect(['', 'a', '1', '👍👍', 'ok 👍'].filter(isEmoji)).toEqual([]);
    expect((await act(own, 'reaction', { emoji: 'a' })).status).toBe(400);
    expect((await act(own, 'reaction', {})).status).toBe(400);
  });

  test('is done to no row that is itself done to one', async () => {
    const reaction = await act(own, 'reaction', { emoji: '👍' });
    expect((await act(reaction.body.data.id, 'revoke')).status).toBe(404);
  });
});

describe('forwarding', () => {
  test('sends copies to several chats by one insert, in the order asked for', async () => {
    await api.owner.query(sql`
      update public.messages set message_type = 'image', media_id = ${mediaId}, media = '{"mimetype": "image/png"}'
      where id = ${inbound}`);
    const [a, b, c] = [one.chatIds[3], one.chatIds[1], one.chatIds[2]];
    const to = [
      { chat_id: a, client_id: 'forward-1' },
      { chat_id: b },
      { chat_id: c, client_id: 'forward-2' },
    ];
    api.statements.length = 0;
    const answer = await act(inbound, 'forward', { to });
    expect(answer.status).toBe(202);
    expect(ownStatements()).toHaveLength(4);
    expect(answer.body.data.map((row: { chat_id: number }) => row.chat_id)).toEqual([a, b, c]);
    for (const row of answer.body.data)
      expect(row).toMatchObject({
        message_type: 'image',
        body: 'Theirs',
        media_id: mediaId,
        media: { mimetype: 'image/png' },
        is_forwarded: true,
        is_from_me: true,
        status: 'pending',
        actor_id: one.userId,
      });
    expect(answer.body.data[1].device_id).toBe(one.deviceIds[0]);
    expect(answer.body.data[2].client_id).toBe('forward-2');

    const before = await countMessages();
    const again = await act(inbound, 'forward', { to: [to[0], to[2]] });
    expect(again.body.data).toEqual([answer.body.data[0], answer.body.data[2]]);
    expect(await countMessages()).toBe(before);
  });

  test('goes to all of the chats or to none', async () => {
    const before = await countMessages();
    const caller = await restrictedTo(api, one, [one.deviceIds[1]]);
    const to = (...chats: (number | undefined)[]) => ({
      to: chats.map((chat_id) => ({ chat_id })),
    });
    expect((await act(own, 'forward', to(one.chatIds[1], two.chatIds[0]))).status).toBe(404);
    expect((await act(own, 'forward', to(one.chatIds[0], one.chatIds[1]), caller)).status).toBe(
      404,
    );
    await api.owner.query(
      sql`update public.contacts set do_not_contact = true where id = ${one.contactIds[1]}`,
    );
    const barred = await act(own, 'forward', to(one.chatIds[0], one.chatIds[1]));
    await api.owner.query(
      sql`update public.contacts set do_not_contact = false where id = ${one.contactIds[1]}`,
    );
    expect(reasonOf(barred)).toEqual([422, 'do_not_contact']);
    expect(barred.body.details.chat_id).toBe(one.chatIds[1]);
    expect((await act(own, 'forward', to(one.chatIds[0], one.chatIds[0]))).status).toBe(400);
    expect((await act(own, 'forward', { to: [] })).status).toBe(400);
    await send({ kind: 'text', body: 'x', client_id: 'taken' });
    const taken = { to: [{ chat_id: one.chatIds[1], client_id: 'taken' }] };
    expect((await act(own, 'forward', taken)).status).toBe(409);
    await api.owner.query(
      sql`update public.messages set message_type = 'system' where id = ${own}`,
    );
    expect(reasonOf(await act(own, 'forward', to(one.chatIds[1])))).toEqual([
      422,
      'not_forwardable',
    ]);
    expect(await countMessages()).toBe(before + 1);
  });
});
