import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { sql } from '../../../platform/sql.ts';
import type { ReceivedContent } from '../../../server/commands/received-content.ts';
import { openCommandWorld, type CommandWorld } from './command-world.ts';

let world: CommandWorld;
let jid: string;

beforeAll(async () => {
  world = await openCommandWorld();
  ({ jid } = world.newNumber());
});

afterAll(() => world.close());

const stored = (id: number | undefined) =>
  world.one(sql`
    select message_type, body, media, media_id, poll, location, target_message_id, quoted_message_id,
      quoted_from_jid, quoted_body, is_forwarded, status, from_name
    from public.messages where id = ${id}`);
const json = (text: string | null | undefined): unknown => JSON.parse(text ?? 'null');
const receive = (content: ReceivedContent, messageId?: string) =>
  world.receive({ jid, content, ...(messageId === undefined ? {} : { messageId }) });

describe('what a message says', () => {
  it('is a file to be fetched, described by the message and by a row of its own', async () => {
    const { id, mediaId } = await receive({
      kind: 'audio',
      caption: 'Listen',
      file: {
        mimetype: 'audio/ogg',
        filename: 'a.ogg',
        size: 9,
        durationSeconds: 4,
        isVoice: true,
      },
    });
    const row = await stored(id);
    expect(row).toMatchObject({ message_type: 'audio', body: 'Listen', media_id: String(mediaId) });
    expect(json(row['media'])).toEqual({
      mimetype: 'audio/ogg',
      filename: 'a.ogg',
      size: 9,
      state: 'pending',
      duration_seconds: 4,
      is_voice: true,
    });
    expect(
      await world.one(sql`
        select device_id, mimetype, filename, size, state, created_by from public.media where id = ${mediaId}`),
    ).toEqual({
      device_id: String(world.deviceId),
      mimetype: 'audio/ogg',
      filename: 'a.ogg',
      size: '9',
      state: 'pending',
      created_by: null,
    });
  });

  it('is a place, a card, a poll, a notice, or something not to be read', async () => {
    const place = await receive({
      kind: 'location',
      latitude: -12.5,
      longitude: -77,
      name: 'Shop',
    });
    expect(json((await stored(place.id))['location'])).toEqual({
      latitude: -12.5,
      longitude: -77,
      name: 'Shop',
    });
    const card = await receive({ kind: 'contact', vcard: 'BEGIN:VCARD\nEND:VCARD' });
    expect(await stored(card.id)).toMatchObject({
      message_type: 'contact',
      body: 'BEGIN:VCARD\nEND:VCARD',
    });
    const poll = await receive({
      kind: 'poll',
      question: 'When?',
      options: ['Now', 'Later', ''],
      selectable: 1,
    });
    expect(json((await stored(poll.id))['poll'])).toEqual({
      options: ['Now', 'Later'],
      selectable_count: 1,
    });
    const notice = await receive({ kind: 'system', text: 'Missed call' });
    expect(await stored(notice.id)).toMatchObject({ message_type: 'system', status: 'read' });
    expect(await stored((await receive({ kind: 'unknown' })).id)).toMatchObject({ body: null });
  });

  it('may answer another one, and may be passed on', async () => {
    const { id } = await world.receive({
      jid,
      quoted: { messageId: 'Q1', from: jid, text: 'q'.repeat(1_200) },
      isForwarded: true,
    });
    expect(await stored(id)).toMatchObject({
      quoted_message_id: 'Q1',
      quoted_from_jid: jid,
      quoted_body: 'q'.repeat(1_000),
      is_forwarded: 't',
    });
  });

  it('is never a reason to refuse it: what the columns do not take is left out or cut', async () => {
    const text = await world.receive({
      jid,
      content: { kind: 'text', text: `a\0b${'🙂'.repeat(70_000)}` },
      fromName: `\0${'n'.repeat(300)}`,
    });
    const row = await stored(text.id);
    expect(Array.from(row['body'] ?? '')).toHaveLength(65_536);
    expect(row['body']).toMatch(/^ab🙂/u);
    expect(row['from_name']).toBe('n'.repeat(200));
    const long = 'o'.repeat(10_000);
    const poll = await receive({
      kind: 'poll',
      question: '?',
      options: Array.from({ length: 50 }, (_, index) => `${index}\0${long}`),
      selectable: 0,
    });
    expect((json((await stored(poll.id))['poll']) as { options: string[] }).options).toHaveLength(
      20,
    );
    const file = { mimetype: '', filename: 'f'.repeat(300), size: Number.NaN };
    expect((await receive({ kind: 'document', file })).outcome).toBe('written');
    const emoji = await receive({ kind: 'reaction', target: 'NONE', emoji: 'x'.repeat(500) });
    expect((await stored(emoji.id))['body']).toBe('x'.repeat(64));
  });
});

describe('what is done to a message', () => {
  it('shows on it, whichever comes first, and opens no lead', async () => {
    const own = world.newNumber();
    const at = (second: number) => new Date(Date.UTC(2026, 2, 1, 9, 0, second)).toISOString();
    const act = (content: ReceivedContent, second: number) =>
      world.receive({ jid: own.jid, content, sentAt: at(second) });
    const early = await act({ kind: 'reaction', target: 'T1', emoji: '👍' }, 5);
    expect(early.leadId).toBeUndefined();
    await act({ kind: 'edit', target: 'T1', text: 'Edited' }, 6);
    const { id, leadId } = await world.receive({ jid: own.jid, messageId: 'T1', sentAt: at(1) });
    expect(leadId).toBeDefined();
    expect((await stored(id))['body']).toBe('Edited');
    const emojis = () =>
      world.all(
        sql`select sender_jid, emoji from public.message_reactions where target_id = ${id}`,
      );
    expect(await emojis()).toEqual([{ sender_jid: own.jid, emoji: '👍' }]);
    await act({ kind: 'reaction', target: 'T1', emoji: null }, 7);
    expect(await emojis()).toEqual([{ sender_jid: own.jid, emoji: null }]);
    await act({ kind: 'revoke', target: 'T1' }, 8);
    expect((await stored(id))['body']).toBeNull();
  });
});

describe('a message that is taken back', () => {
  it('takes its file along', async () => {
    const file = { mimetype: 'image/png', size: 3 };
    const { id, mediaId } = await receive({ kind: 'image', file }, 'TAKEN');
    await receive({ kind: 'revoke', target: 'TAKEN' });
    expect(await stored(id)).toMatchObject({ media: null, media_id: null });
    expect(await world.all(sql`select id from public.media where id = ${mediaId}`)).toEqual([]);
  });
});

describe('a message that could not be read', () => {
  it('becomes what it is when it comes again, once', async () => {
    const first = await receive({ kind: 'unknown' }, 'P1');
    const file = { mimetype: 'image/png', size: 3 };
    const image = { kind: 'image', caption: 'Now', file } as const;
    const second = await receive(image, 'P1');
    expect(second).toMatchObject({ outcome: 'filled', id: first.id });
    expect(await stored(first.id)).toMatchObject({
      message_type: 'image',
      body: 'Now',
      media_id: String(second.mediaId),
    });
    const again = await world.logged(async () => {
      expect((await receive(image, 'P1')).outcome).toBe('known');
      expect((await receive({ kind: 'unknown' }, 'P1')).outcome).toBe('known');
      expect((await receive({ kind: 'text', text: 'Other' }, 'P1')).outcome).toBe('known');
    });
    expect(again).toEqual([]);
  });
});
