import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { TextRow } from '../../platform/postgres.ts';
import { sql } from '../../platform/sql.ts';
import {
  at,
  openConversationWorld,
  type ConversationWorld,
  type Said,
} from './conversation-world.ts';

let world: ConversationWorld;
let chat: number;

beforeAll(async () => {
  world = await openConversationWorld();
  chat = await world.newChat();
});

afterAll(() => world.close());

let stanzas = 0;
const nextStanza = (): string => `S${++stanzas}`;

/** A message with a stanza that no other has. */
async function original(said: { mine?: boolean; body?: string; from?: string } = {}) {
  const stanza = nextStanza();
  const [id = 0] = await world.say({ chat, stanza, at: at('09:00'), body: 'Original', ...said });
  return { id, stanza };
}

const act = (type: string, target: string, more: Partial<Said> = {}) =>
  world.say({ chat, type, target, at: at('09:10'), ...more });

const reactions = (id: number): Promise<TextRow[]> =>
  world.db.query(sql`
    select sender_jid, emoji, to_char(reacted_at, 'HH24:MI') as at
    from public.message_reactions where target_id = ${id} order by sender_jid`);

describe('the status of a message', () => {
  const statuses = ['pending', 'sending', 'failed', 'sent', 'delivered', 'read', 'played'];

  it('moves forward only, from every status to every other', async () => {
    for (const [from, status] of statuses.entries()) {
      for (const [to, next] of statuses.entries()) {
        const [id = 0] = await world.say({ chat, mine: true, status });
        await world.setStatus(id, next);
        expect((await world.message(id))['status']).toBe(to > from ? next : status);
      }
    }
  });

  it('says when it moved, and forgets why it failed once it was sent', async () => {
    const [id = 0] = await world.say({ chat, mine: true, status: 'sending', at: at('09:00') });
    await world.db.query(
      sql`update public.messages set status = 'failed', error = '463' where id = ${id}`,
    );
    const failed = await world.message(id);
    expect(failed).toMatchObject({ status: 'failed', error: '463' });
    await world.setStatus(id, 'sent');
    const sent = await world.message(id);
    expect(sent).toMatchObject({ status: 'sent', error: null });
    expect(sent['status_at']).not.toBe(failed['status_at']);
  });

  it('is not even written when it would go back', async () => {
    const [id = 0] = await world.say({ chat, mine: true, status: 'read' });
    expect(await world.logged(() => world.setStatus(id, 'delivered'))).toEqual([]);
    const edited = await world.logged(() =>
      world.db.query(
        sql`update public.messages set status = 'sent', is_forwarded = true where id = ${id}`,
      ),
    );
    expect(edited).toEqual(['messages: UPDATE']);
    expect((await world.message(id))['status']).toBe('read');
  });

  it('is none of a message from here when somebody else wrote it', async () => {
    const [id = 0] = await world.say({ chat });
    await expect(world.setStatus(id, 'delivered')).rejects.toMatchObject({ code: 'unprocessable' });
    await world.setStatus(id, 'played');
    expect((await world.message(id))['status']).toBe('played');
  });
});

describe('a reaction', () => {
  it('is one per sender, the newest; ours is ours from whichever device it was sent', async () => {
    const { id, stanza } = await original();
    await act('reaction', stanza, { body: '👍', from: 'a@lid' });
    await act('reaction', stanza, { body: '🎉', from: 'a@lid', at: at('09:11') });
    await act('reaction', stanza, { body: '🙏', mine: true });
    await act('reaction', stanza, { body: '❤️', mine: true, from: 'own@lid', at: at('09:12') });
    expect(await reactions(id)).toEqual([
      { sender_jid: 'a@lid', emoji: '🎉', at: '09:11' },
      { sender_jid: 'me', emoji: '❤️', at: '09:12' },
    ]);
  });

  it('does not win when it is older, and does when it comes later in the same moment', async () => {
    const { id, stanza } = await original();
    await act('reaction', stanza, { body: '🎉', from: 'a@lid', at: at('09:11') });
    const written = await world.logged(() =>
      act('reaction', stanza, { body: '👍', from: 'a@lid', at: at('09:10') }),
    );
    expect(written).toEqual(['messages: INSERT']);
    expect(await reactions(id)).toMatchObject([{ emoji: '🎉' }]);
    await world.db.query(
      sql`update public.message_reactions set emoji = '👎', reacted_at = ${at('09:00')} where target_id = ${id}`,
    );
    expect(await reactions(id)).toMatchObject([{ emoji: '🎉' }]);
    await act('reaction', stanza, { body: '', from: 'a@lid', at: at('09:11') });
    expect(await reactions(id)).toMatchObject([{ emoji: null, at: '09:11' }]);
  });

  it('of ours counts when it was sent, not when it is wanted', async () => {
    const { id, stanza } = await original();
    const [wanted = 0] = await act('reaction', stanza, {
      body: '👍',
      mine: true,
      status: 'pending',
    });
    await world.setStatus(wanted, 'failed');
    expect(await reactions(id)).toEqual([]);
    await world.setStatus(wanted, 'sent');
    await world.setStatus(wanted, 'delivered');
    expect(await reactions(id)).toMatchObject([{ sender_jid: 'me', emoji: '👍' }]);
  });

  it('does not show in the chat, nor count', async () => {
    const { stanza } = await original();
    const before = await world.chat(chat);
    await act('reaction', stanza, { body: '👍', at: at('23:00') });
    expect(await world.chat(chat)).toEqual(before);
  });
});

describe('an edit', () => {
  it('changes the text, of several the newest, whichever comes first', async () => {
    const { id, stanza } = await original({ from: 'a@lid' });
    await act('edit', stanza, { body: 'Newer', at: at('09:12'), from: 'a@lid' });
    await act('edit', stanza, { body: 'Older', at: at('09:11'), from: 'a@lid' });
    expect((await world.message(id))['body']).toBe('Newer');
    await act('edit', stanza, { body: 'Newest', at: at('09:12'), from: 'a@lid' });
    expect((await world.message(id))['body']).toBe('Newest');
  });

  it('shows in the chat when it is of the newest message', async () => {
    const own = await world.newChat();
    await world.say({ chat: own, stanza: 'E1', at: at('09:00'), body: 'Helo' });
    await world.say({ chat: own, type: 'edit', target: 'E1', at: at('09:01'), body: 'Hello' });
    expect(await world.chat(own)).toMatchObject({
      last_message: 'Hello',
      last_at: '09:00',
      unread_count: '1',
    });
  });

  it('is made by whoever wrote the message, in a group too', async () => {
    const { id, stanza } = await original({ mine: true });
    await act('edit', stanza, { body: 'Forged' });
    expect((await world.message(id))['body']).toBe('Original');
    const group = await world.newChat('120363000000000001@g.us');
    const [inGroup = 0] = await world.say({
      chat: group,
      stanza: 'G1',
      body: 'Theirs',
      from: 'a@lid',
    });
    const edit = { chat: group, type: 'edit', target: 'G1', body: 'Forged' };
    await world.say({ ...edit, from: 'b@lid' });
    expect((await world.message(inGroup))['body']).toBe('Theirs');
    await world.say({ ...edit, from: 'a@lid', body: 'Better' });
    expect((await world.message(inGroup))['body']).toBe('Better');
  });
});

describe('a revocation', () => {
  it('leaves nothing of the message but that it was there', async () => {
    const own = await world.newChat();
    await world.say({ chat: own, stanza: 'R0', at: at('08:59'), body: 'Before' });
    const [id = 0] = await world.say({ chat: own, stanza: 'R1', at: at('09:00'), body: 'Oops' });
    await world.say({ chat: own, type: 'revoke', target: 'R1', at: at('09:01') });
    expect(await world.message(id)).toMatchObject({ body: null });
    expect((await world.message(id))['revoked_at']).not.toBeNull();
    expect(await world.chat(own)).toMatchObject({
      last_message_id: String(id),
      last_message: null,
    });
    await world.say({ chat: own, type: 'edit', target: 'R1', at: at('09:02'), body: 'Back' });
    expect((await world.message(id))['body']).toBeNull();
  });

  it('takes the file along that came by a device, but none that is shown elsewhere', async () => {
    const { accountId } = world.ours;
    const [came, forwarded, uploaded] = (
      await world.db.query(sql`
        insert into public.media (account_id, device_id, object_key, mimetype, created_by)
        select ${accountId}, 1, ${`${accountId}/r`} || number, 'image/png',
          case when number = 3 then ${world.ours.userId}::bigint end
        from generate_series(1, 3) as number
        returning id`)
    ).map((row) => Number(row['id']));
    const files = { chat, at: at('09:00'), type: 'image' };
    await world.say(
      { ...files, stanza: 'F1', mediaId: came! },
      { ...files, stanza: 'F2', mediaId: forwarded! },
      { ...files, mediaId: forwarded! },
      { ...files, stanza: 'F3', mediaId: uploaded! },
    );
    for (const target of ['F1', 'F2', 'F3']) await act('revoke', target);
    const kept = await world.db.query(
      sql`select id from public.media where id = any(${[came, forwarded, uploaded]}) order by id`,
    );
    expect(kept.map((row) => Number(row['id']))).toEqual([forwarded, uploaded]);
  });

  it('of others is for administrators of groups only', async () => {
    const { id, stanza } = await original({ mine: true });
    await act('revoke', stanza);
    expect((await world.message(id))['revoked_at']).toBeNull();
    const group = await world.newChat('120363000000000002@g.us');
    const [inGroup = 0] = await world.say({ chat: group, stanza: 'G2', mine: true, body: 'Spam' });
    await world.say({ chat: group, type: 'revoke', target: 'G2', from: 'admin@lid' });
    expect((await world.message(inGroup))['revoked_at']).not.toBeNull();
  });
});

describe('what comes before its message', () => {
  it('waits for it, and takes effect when it comes', async () => {
    const [reacted, edited, revoked] = [nextStanza(), nextStanza(), nextStanza()];
    await act('reaction', reacted, { body: '👍', from: 'a@lid', at: at('09:11') });
    await act('reaction', reacted, { body: '👎', from: 'a@lid', at: at('09:10') });
    await act('edit', edited, { body: 'Edited' });
    await act('revoke', revoked);
    const [one = 0, two = 0, three = 0] = await world.say(
      ...[reacted, edited, revoked].map((stanza) => ({ chat, stanza, at: at('09:00'), body: 'x' })),
    );
    expect(await reactions(one)).toMatchObject([{ emoji: '👍' }]);
    expect((await world.message(two))['body']).toBe('Edited');
    expect((await world.message(three))['revoked_at']).not.toBeNull();
  });

  it('comes in one statement with it, in any order', async () => {
    const stanza = nextStanza();
    const [, id = 0] = await world.say(
      { chat, type: 'reaction', target: stanza, body: '👍', from: 'a@lid', at: at('09:10') },
      { chat, stanza, at: at('09:00') },
    );
    expect(await reactions(id)).toMatchObject([{ emoji: '👍' }]);
  });

  it('finds a message of its own chat only', async () => {
    const { id, stanza } = await original();
    await world.say({ chat: await world.newChat(), type: 'revoke', target: stanza });
    expect((await world.message(id))['revoked_at']).toBeNull();
  });
});

describe('a message that could not be read at first', () => {
  it('becomes a message, or what was done to another one, and the chat follows', async () => {
    const own = await world.newChat();
    const [first = 0] = await world.say({ chat: own, stanza: 'U1', at: at('09:00'), body: 'One' });
    const [id = 0] = await world.say({ chat: own, type: 'unknown', at: at('09:01') });
    expect((await world.chat(own))['last_message_type']).toBe('unknown');
    await world.db.query(sql`
      update public.messages set message_type = 'edit', target_message_id = 'U1', body = 'Edited' where id = ${id}`);
    expect((await world.message(first))['body']).toBe('Edited');
    expect(await world.chat(own)).toMatchObject({ last_message: 'Edited', unread_count: '1' });
  });
});
