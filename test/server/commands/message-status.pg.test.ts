import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { sql } from '../../../platform/sql.ts';
import { recordPollVote } from '../../../server/commands/record-poll-vote.ts';
import { updateMessageStatus } from '../../../server/commands/update-message-status.ts';
import { openCommandWorld, type CommandWorld } from './command-world.ts';

let world: CommandWorld;

beforeAll(async () => {
  world = await openCommandWorld();
});

afterAll(() => world.close());

type Reports = Parameters<typeof updateMessageStatus>[1]['reports'];

const report = (reports: Reports, deviceId = world.deviceId) =>
  world.run((tx) => updateMessageStatus(tx, { accountId: world.accountId, deviceId, reports }));

/** A chat in which we have written one message after another, each with its status. */
const sent = async (...statuses: string[]) => {
  const { phone, jid } = world.newNumber();
  const lid = `${phone}9@lid`;
  const { chatId } = await world.receive({ jid, lid });
  const ids = await world.say(
    ...statuses.map((status, index) => ({
      chat: chatId,
      stanza: `${phone}-${index}`,
      mine: true,
      status,
    })),
  );
  return { jid, lid, chatId, ids, stanza: (index: number) => `${phone}-${index}` };
};
const statusOf = async (id: number | undefined) => (await world.message(id ?? 0))['status'];

describe('receipts', () => {
  it('move messages forward, many in one statement, of each the furthest', async () => {
    const { jid, ids, stanza } = await sent('sent', 'sending', 'read');
    const { value, statements } = await world.counted((tx) =>
      updateMessageStatus(tx, {
        accountId: world.accountId,
        deviceId: world.deviceId,
        reports: [
          { jid, messageId: stanza(0), status: 'delivered' },
          { jid, messageId: stanza(0), status: 'read', at: '2026-03-01T10:00:00Z' },
          { jid, messageId: stanza(1), status: 'sent' },
          { jid, messageId: stanza(2), status: 'delivered' },
        ],
      }),
    );
    expect(statements).toBe(1);
    expect(value).toEqual({ ids: [ids[0], ids[1]], unknown: [] });
    expect(await Promise.all(ids.map(statusOf))).toEqual(['read', 'sent', 'read']);
    expect((await world.message(ids[0] ?? 0))['status_at']).toBe('2026-03-01 10:00:00+00');
  });

  it('write nothing when nothing moves', async () => {
    const { jid, lid, chatId, stanza } = await sent('read');
    const written = await world.logged(async () => {
      const none = { ids: [], unknown: [] };
      expect(await report([{ jid, messageId: stanza(0), status: 'delivered' }])).toEqual(none);
      expect(await report([{ jid: lid, messageId: stanza(0), status: 'read' }])).toEqual(none);
      expect(await report([{ chatId, messageId: stanza(0), status: 'failed' }])).toEqual(none);
      expect(await report([])).toEqual(none);
    });
    expect(written).toEqual([]);
  });

  it('find their message by either address of the person, and by the chat', async () => {
    const { jid, lid, chatId, ids, stanza } = await sent('sent', 'sent', 'sent');
    const { ids: moved } = await report([
      { jid: lid, messageId: stanza(0), status: 'delivered' },
      { jid: jid.replace('@', ':7@'), messageId: stanza(1), status: 'delivered' },
      { chatId, messageId: stanza(2), status: 'delivered' },
    ]);
    expect(moved).toEqual(ids);
  });

  it('that come before their message, or from nowhere, are handed back', async () => {
    const { jid, chatId, stanza } = await sent('sent');
    const early = { jid, messageId: 'NOT YET', status: 'delivered' } as const;
    const nowhere = { jid: 'status@broadcast', messageId: stanza(0), status: 'read' } as const;
    const elsewhere = { chatId, messageId: stanza(0), status: 'read' } as const;
    const { ids, unknown } = await report([nowhere, early]);
    expect({ ids, unknown }).toEqual({ ids: [], unknown: [nowhere, early] });
    expect(await report([elsewhere], world.ours.deviceIds[1])).toEqual({
      ids: [],
      unknown: [elsewhere],
    });
  });

  it('say why a message failed, and that it was sent after all', async () => {
    const { chatId, ids, stanza } = await sent('sending');
    await report([{ chatId, messageId: stanza(0), status: 'failed', error: 'e\0'.repeat(600) }]);
    expect(await world.message(ids[0] ?? 0)).toMatchObject({
      status: 'failed',
      error: 'e'.repeat(500),
    });
    await report([{ chatId, messageId: stanza(0), status: 'delivered' }]);
    expect(await world.message(ids[0] ?? 0)).toMatchObject({ status: 'delivered', error: null });
  });

  it('of what somebody else wrote say only that it was read here', async () => {
    const { jid } = world.newNumber();
    const { id, chatId } = await world.receive({ jid, messageId: 'THEIRS' });
    await report([
      { jid, messageId: 'THEIRS', status: 'delivered' },
      { jid, messageId: 'THEIRS', status: 'failed' },
    ]);
    expect(await statusOf(id)).toBe('received');
    // By them: they would hide what they wrote.
    await report([{ jid, messageId: 'THEIRS', status: 'read' }]);
    expect(await statusOf(id)).toBe('received');
    await report([
      { jid, messageId: 'THEIRS', status: 'delivered', isOurs: true },
      { jid, messageId: 'THEIRS', status: 'read', isOurs: true },
    ]);
    expect(await statusOf(id)).toBe('read');
    expect((await world.chat(chatId))['unread_count']).toBe('0');
  });

  it('that come at once in opposite orders leave the furthest of each', async () => {
    const { chatId, ids, stanza } = await sent('sent', 'sent', 'sent', 'sent');
    const all = (status: 'delivered' | 'read', order: readonly number[]): Reports =>
      order.map((index) => ({ chatId, messageId: stanza(index), status }));
    await Promise.all([
      report(all('read', [0, 1, 2, 3])),
      report(all('delivered', [3, 2, 1, 0])),
      report(all('read', [2, 3, 0, 1])),
      report(all('delivered', [1, 0, 3, 2])),
    ]);
    expect(await Promise.all(ids.map(statusOf))).toEqual(['read', 'read', 'read', 'read']);
  });
});

describe('votes', () => {
  const poll = async () => {
    const { jid } = world.newNumber();
    const { id, chatId } = await world.receive({
      jid,
      messageId: 'POLL',
      content: { kind: 'poll', question: '?', options: ['Now', 'Later'], selectable: 1 },
    });
    const vote = (voter: string | undefined, options: string[], minute: number) =>
      world.run((tx) =>
        recordPollVote(tx, {
          accountId: world.accountId,
          chatId,
          pollMessageId: 'POLL',
          voter,
          options,
          votedAt: new Date(Date.UTC(2026, 2, 1, 9, minute)).toISOString(),
        }),
      );
    const votes = () =>
      world.all(sql`
        select voter_jid, options, device_id from public.poll_votes where target_id = ${id} order by voter_jid`);
    return { jid, chatId, vote, votes };
  };

  it('are one per voter, the newest, and ours is one whichever device it came by', async () => {
    const { jid, vote, votes } = await poll();
    const device_id = String(world.deviceId);
    expect(await vote(jid.replace('@', ':3@'), ['Now'], 10)).toBe('recorded');
    expect(await vote(jid, ['Later'], 12)).toBe('recorded');
    expect(await vote(jid, ['Now'], 11)).toBe('known');
    expect(await vote(undefined, ['Now', 'Later'], 10)).toBe('recorded');
    expect(await votes()).toEqual([
      { voter_jid: jid, options: '{Later}', device_id },
      { voter_jid: 'me', options: '{Now,Later}', device_id },
    ]);
    expect(await vote(jid, [], 13)).toBe('recorded');
    expect((await votes())[0]).toMatchObject({ options: '{}' });
  });

  it('that are known write nothing, and those of no poll are handed back', async () => {
    const { jid, chatId, vote } = await poll();
    await vote(jid, ['Now'], 10);
    const written = await world.logged(async () => {
      expect(await vote(jid, ['Now'], 10)).toBe('known');
      expect(await vote(jid, ['Later'], 9)).toBe('known');
    });
    expect(written).toEqual([]);
    const absent = {
      pollMessageId: 'NONE',
      voter: jid,
      options: [],
      votedAt: '2026-03-01T09:00:00Z',
    };
    const { accountId } = world;
    expect(await world.run((tx) => recordPollVote(tx, { accountId, chatId, ...absent }))).toBe(
      'absent',
    );
    const theirs = { accountId: world.theirs.accountId, chatId, ...absent, pollMessageId: 'POLL' };
    expect(await world.run((tx) => recordPollVote(tx, theirs))).toBe('absent');
  });
});
