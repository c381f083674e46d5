import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { sql } from '../../../platform/sql.ts';
import { claimOutgoing } from '../../../server/commands/claim-outgoing.ts';
import { confirmOutgoing } from '../../../server/commands/confirm-outgoing.ts';
import {
  postponeOutgoing,
  recoverOutgoing,
  settleOutgoing,
  type SendEnd,
} from '../../../server/commands/settle-outgoing.ts';
import { SEND_REFUSALS } from '../../../server/whatsapp/judge-send.ts';
import { openCommandWorld, type CommandWorld } from './command-world.ts';

let world: CommandWorld;

beforeAll(async () => {
  world = await openCommandWorld();
});

afterAll(() => world.close());

// What one test leaves waiting is not the next one's.
beforeEach(async () => {
  await world.all(sql`truncate public.chats, private.whatsapp_first_contacts cascade`);
});

const owner = () => ({ accountId: world.accountId, deviceId: world.deviceId });
const claim = async (options: { newChatsPerDay?: number; busy?: number[] } = {}) => {
  const outcome = await world.run((tx) =>
    claimOutgoing(tx, { ...owner(), newChatsPerDay: 20, busy: [], ...options }),
  );
  return outcome.claimed;
};
const claimId = async (options = {}) => (await claim(options))?.row.id;
const settle = (...ends: SendEnd[]) => world.run((tx) => settleOutgoing(tx, owner(), ends));
const sent = (id: number) => settle({ id, kind: 'sent' });
/** A chat in which the other one has written. */
const chat = async () => (await world.receive(world.newNumber())).chatId;
/** Messages that wait to be sent. */
const pending = (chatId: number, ...bodies: string[]) =>
  world.say(...bodies.map((body) => ({ chat: chatId, body, mine: true, status: 'pending' })));
const one = async (chatId: number, body = 'Hello') => (await pending(chatId, body))[0] ?? 0;
const shown = async (id: number) => {
  const { status, error } = await world.message(id);
  return { status, error };
};
const notes = () =>
  world.all(sql`select message_id, attempts from private.whatsapp_sends order by message_id`);
const pass = (interval: string) =>
  world.all(sql`
    update private.whatsapp_sends set next_at = next_at - ${interval}::interval`);
const age = (id: number, by: string) =>
  world.all(sql`update public.messages set created_at = now() - ${by}::interval where id = ${id}`);

describe('a claim', () => {
  it('takes the oldest message, which is sending then and noted', async () => {
    const chatId = await chat();
    const id = await one(chatId);
    const claimed = await claim();
    expect(claimed).toMatchObject({ attempts: 1, isNewChat: false });
    expect(claimed?.row).toMatchObject({ id, chatId, type: 'text', body: 'Hello' });
    expect(await shown(id)).toEqual({ status: 'sending', error: null });
    expect(await notes()).toEqual([{ message_id: String(id), attempts: '1' }]);
    expect(await claimId()).toBeUndefined();
  });

  it('keeps the order of a chat until the one in front is settled, and other chats do not wait', async () => {
    const [first, second] = [await chat(), await chat()];
    const [a = 0, b = 0] = await pending(first, 'a', 'b');
    const c = await one(second, 'c');
    expect([await claimId(), await claimId(), await claimId()]).toEqual([a, c, undefined]);
    await settle({ id: a, kind: 'failed', reason: 'No.' });
    expect(await claimId()).toBe(b);
    expect(await shown(a)).toEqual({ status: 'failed', error: 'No.' });
  });

  it('says all that is needed to send', async () => {
    const chatId = await chat();
    await world.say({ chat: chatId, stanza: 'IN', body: 'Theirs', from: 'x@lid' });
    const [reaction = 0] = await world.say({
      chat: chatId,
      type: 'reaction',
      body: '👍',
      mine: true,
      status: 'pending',
      target: 'IN',
    });
    expect((await claim())?.row.target).toEqual({
      stanzaId: 'IN',
      isFromMe: false,
      author: 'x@lid',
    });
    await sent(reaction);
    await world.all(sql`
      insert into public.messages (account_id, chat_id, body, is_from_me, status, quoted_message_id, quoted_from_jid, quoted_body)
      values (${world.accountId}, ${chatId}, 'Answer', true, 'pending', 'IN', 'x@lid', 'Theirs')`);
    expect((await claim())?.row.quoted).toEqual({
      stanzaId: 'IN',
      author: 'x@lid',
      text: 'Theirs',
      type: 'text',
      media: {},
    });
  });

  it('leaves what the worker is at, what is of other devices, and what nobody may see', async () => {
    const id = await one(await chat());
    await claim();
    await pass('1 hour');
    expect(await claimId({ busy: [id] })).toBeUndefined();
    expect(
      await world.run((tx) =>
        claimOutgoing(tx, { accountId: world.accountId, deviceId: 0, newChatsPerDay: 1, busy: [] }),
      ),
    ).toEqual({ claimed: undefined, hasMore: false });
  });
});

describe('what may not be sent fails, with a sentence, and those behind it go', () => {
  it('when the contact does not want it', async () => {
    const chatId = await chat();
    const id = await one(chatId);
    const other = await one(await chat(), 'other');
    await world.all(sql`
      update public.contacts set do_not_contact = true
      where id = (select contact_id from public.chats where id = ${chatId})`);
    expect(await claimId()).toBe(other);
    expect(await shown(id)).toEqual({ status: 'failed', error: SEND_REFUSALS.do_not_contact });
  });

  it('when its message was not sent, was taken back, or is gone', async () => {
    const chatId = await chat();
    await world.say({ chat: chatId, stanza: 'F', body: 'x', mine: true, status: 'failed' });
    await world.say({ chat: chatId, stanza: 'R', body: 'x', mine: true });
    await world.all(sql`update public.messages set revoked_at = now() where message_id = 'R'`);
    const action = (target: string) => ({
      chat: chatId,
      type: 'reaction',
      body: '👍',
      mine: true,
      status: 'pending',
      target,
    });
    const ids = await world.say(action('F'), action('R'), action('G'));
    const next = await one(chatId, 'next');
    expect(await claimId()).toBe(next);
    expect((await Promise.all(ids.map(shown))).map(({ error }) => error)).toEqual([
      SEND_REFUSALS.target_not_sent,
      SEND_REFUSALS.target_revoked,
      SEND_REFUSALS.target_gone,
    ]);
  });

  it('when its file is lost; one that is still to be fetched is waited for', async () => {
    const chatId = await chat();
    const [{ id: file } = {}] = await world.all(sql`
      insert into public.media (account_id, object_key, mimetype, state)
      values (${world.accountId}, 'k', 'image/png', 'pending') returning id`);
    const picture = { chat: chatId, type: 'image', mine: true, status: 'pending' };
    const [waits = 0] = await world.say({ ...picture, mediaId: Number(file) });
    const next = await one(chatId, 'behind');
    expect(await claimId()).toBeUndefined();
    await world.all(sql`update public.media set state = 'failed' where id = ${Number(file)}`);
    expect(await claimId()).toBe(next);
    expect((await shown(waits)).error).toBe(SEND_REFUSALS.file_not_fetched);
    await sent(next);
    const [gone = 0] = await world.say(picture);
    expect(await claimId()).toBeUndefined();
    expect((await shown(gone)).error).toBe(SEND_REFUSALS.file_gone);
  });

  it('when it waited for its device for more than a day', async () => {
    const chatId = await chat();
    const id = await one(chatId);
    await age(id, '25 hours');
    const next = await one(chatId, 'next');
    expect(await claimId()).toBe(next);
    expect(await shown(id)).toEqual({ status: 'failed', error: SEND_REFUSALS.too_old });
  });
});

describe('new conversations', () => {
  /** One that nobody has written in. */
  const strange = () => world.newChat();

  it('are begun as many as are safe; who waits says so, and goes when the other one writes', async () => {
    const a = await one(await strange());
    const stranger = await strange();
    const b = await one(stranger);
    const known = await one(await chat());
    const capped = { newChatsPerDay: 1 };
    expect((await claim(capped))?.row.id).toBe(a);
    expect(await claimId(capped)).toBe(known);
    expect(await shown(b)).toEqual({
      status: 'pending',
      error: 'Waits: this device has begun 1 new conversations within a day, as many as are safe.',
    });
    expect(await claimId(capped)).toBeUndefined();
    await world.say({ chat: stranger, body: 'Hi' });
    expect(await claimId(capped)).toBe(b);
    expect(await shown(b)).toEqual({ status: 'sending', error: null });
  });

  it('go when the day is over, in their order, if it is not too late for them', async () => {
    const a = await one(await strange());
    const stranger = await strange();
    const [b = 0] = await pending(stranger, 'b', 'c');
    const capped = { newChatsPerDay: 1 };
    expect([await claimId(capped), await claimId(capped)]).toEqual([a, undefined]);
    await world.all(sql`
      update private.whatsapp_first_contacts set created_at = now() - interval '25 hours'`);
    await age(b, '26 hours');
    expect(await claimId(capped)).toBe(b);
    const late = await one(await strange());
    expect(await claimId(capped)).toBeUndefined();
    await age(late, '73 hours');
    await claimId();
    expect((await shown(late)).error).toBe(SEND_REFUSALS.no_turn);
  });

  it('are new until something was really sent, and count once', async () => {
    const stranger = await strange();
    const a = await one(stranger);
    expect(await claim()).toMatchObject({ isNewChat: true });
    await pass('1 hour');
    expect(await claim({ newChatsPerDay: 1 })).toMatchObject({ isNewChat: true, attempts: 2 });
    await sent(a);
    await one(stranger, 'b');
    expect(await claim({ newChatsPerDay: 1 })).toMatchObject({ isNewChat: false });
  });

  it('with nobody are none', async () => {
    const a = await one(await strange());
    await claim();
    await settle({ id: a, kind: 'failed', reason: SEND_REFUSALS.not_on_whatsapp });
    const b = await one(await strange());
    expect(await claimId({ newChatsPerDay: 1 })).toBe(b);
  });
});

describe('a message that was not answered', () => {
  it('is claimed again when its time is over, five times, and then nobody knows', async () => {
    const chatId = await chat();
    const id = await one(chatId);
    const next = await one(chatId, 'next');
    for (const attempt of [1, 2, 3, 4, 5]) {
      expect(await claim()).toMatchObject({ row: { id }, attempts: attempt });
      expect(await claimId()).toBeUndefined();
      await pass('1 hour');
    }
    expect(await claimId()).toBe(next);
    expect(await shown(id)).toEqual({ status: 'failed', error: SEND_REFUSALS.unknown });
  });

  it('is due at once on the next connection, but for one that has been tried before', async () => {
    const [a, b] = [await one(await chat()), await one(await chat())];
    await claim();
    await claim();
    await world.all(sql`update private.whatsapp_sends set attempts = 2 where message_id = ${b}`);
    await world.run((tx) => recoverOutgoing(tx, owner()));
    expect([await claimId(), await claimId()]).toEqual([a, undefined]);
  });

  it('is found again when its note is lost, and a note without one goes', async () => {
    const [a, b] = [await one(await chat()), await one(await chat())];
    await claim();
    await claim();
    await world.all(sql`delete from private.whatsapp_sends where message_id = ${a}`);
    await world.setStatus(b, 'delivered');
    await world.run((tx) => recoverOutgoing(tx, owner()));
    expect(await notes()).toEqual([{ message_id: String(a), attempts: '0' }]);
    expect(await claimId()).toBe(a);
  });

  it('that did not leave is tried again later, and that attempt is not counted', async () => {
    const id = await one(await chat());
    await claim();
    await world.run((tx) =>
      postponeOutgoing(tx, owner(), { id, delayMs: 60_000, isUncounted: true }),
    );
    expect(await claimId()).toBeUndefined();
    await pass('1 minute');
    expect(await claim()).toMatchObject({ attempts: 1 });
  });
});

describe('right before it leaves', () => {
  const confirm = (id: number) => world.run((tx) => confirmOutgoing(tx, { ...owner(), id }));

  it('a message is asked again whether it may', async () => {
    const chatId = await chat();
    const id = await one(chatId);
    await claim();
    expect(await confirm(id)).toBe(true);
    await world.all(sql`update public.contacts set do_not_contact = true`);
    expect(await confirm(id)).toBe(false);
    expect(await shown(id)).toEqual({ status: 'failed', error: SEND_REFUSALS.do_not_contact });
    expect(await notes()).toEqual([]);
    await world.all(sql`update public.contacts set do_not_contact = false`);
  });

  it('one that is settled or gone does not', async () => {
    const id = await one(await chat());
    await claim();
    await world.setStatus(id, 'failed');
    expect(await confirm(id)).toBe(false);
    expect(await confirm(0)).toBe(false);
  });
});

describe('the end of a sending', () => {
  it('is said once, also when a receipt was there first, and its note goes', async () => {
    const id = await one(await chat());
    await claim();
    await world.setStatus(id, 'delivered');
    await settle({ id, kind: 'sent', at: '2026-03-01T10:00:00Z' });
    expect(await shown(id)).toEqual({ status: 'delivered', error: null });
    expect(await notes()).toEqual([]);
  });

  it('finds a message that went to another chat meanwhile', async () => {
    const [from, to] = [await chat(), await chat()];
    const id = await one(from);
    await claim();
    await world.all(sql`update public.messages set chat_id = ${to} where id = ${id}`);
    await settle({ id, kind: 'sent', at: '2026-03-01T10:00:00Z' });
    expect((await shown(id)).status).toBe('sent');
    expect(await notes()).toEqual([]);
  });

  it('of one that is gone is nothing', () => settle({ id: 1, kind: 'sent' }));
});
