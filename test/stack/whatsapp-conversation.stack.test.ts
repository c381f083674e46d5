import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { edit, reaction, reply, revoke } from '../../fakes/whatsapp/contents.ts';
import type { Person, Received } from '../../fakes/whatsapp/person.ts';
import { eventually } from '../support/services.ts';
import { startModel, untilEqual } from './support/compare.ts';
import type { ModelClient } from './support/model-client.ts';
import type { TestAccount } from './support/stack.ts';
import { startWhatsappStack, TIMEOUT_MS, type WhatsappStack } from './support/whatsapp-stack.ts';

type Row = Record<string, unknown>;

const TABLES = [
  'devices',
  'device_pairings',
  'contacts',
  'chats',
  'messages',
  'message_reactions',
  'media',
  'leads',
];

/** From the QR code to the last word: all of it is seen by a browser, row by row, as REST shows it. */
describe('a conversation', () => {
  let world: WhatsappStack;
  let account: TestAccount;
  let browser: ModelClient;
  let own: Person;
  let ana: Person;
  let deviceId: number;

  const rows = (table: string): Row[] => [...(browser.tables.get(table)?.values() ?? [])];
  const one = (table: string, fits: (row: Row) => boolean): Promise<Row> =>
    eventually(() => rows(table).find(fits), {
      says: `a row of ${table} as expected; there are ${JSON.stringify(rows(table)).slice(-2_000)}`,
      timeoutMs: TIMEOUT_MS,
    });
  const message = (fits: (row: Row) => boolean): Promise<Row> => one('messages', fits);
  /** The message as the browser has it, once it is so. */
  const becomes = (id: unknown, expected: Row): Promise<Row> =>
    message(
      (row) =>
        row['id'] === id && Object.entries(expected).every(([name, value]) => row[name] === value),
    );
  const arrived = (id: unknown): Promise<Received> =>
    eventually(() => ana.find(String(id)), {
      says: `Ana gets ${String(id)}`,
      timeoutMs: TIMEOUT_MS,
    });
  /** Values that a column of a row took in the feed, in order. */
  const history = (id: unknown, column: string): unknown[] =>
    browser.commits
      .flatMap(({ changes }) => changes)
      .flatMap((change) =>
        change.table === 'messages' && 'row' in change && change.row['id'] === id
          ? [change.row[column]]
          : [],
      )
      .filter((value, at, all) => value !== all[at - 1]);

  beforeAll(async () => {
    world = await startWhatsappStack();
    [account] = world.stack.accounts;
    ({ id: deviceId, own } = await world.addDevice(account, '51999000001'));
    ana = world.fake.addPerson({ phone: '51987654321', name: 'Ana' });
    await world.spawnIngest();
    const subscribed = TABLES.map((table) => ({ table }));
    browser = await startModel(world.stack, world.truth, account, subscribed);
  });
  afterAll(async () => {
    browser.close();
    await world.close();
  });

  it('begins with a code that the phone scans', async () => {
    await world.request(account, `POST /api/devices/${deviceId}/pairing`, { kind: 'qr' });
    const { code } = await one('device_pairings', (row) => typeof row['code'] === 'string');
    world.fake.scan(own, String(code));
    const device = await one('devices', (row) => row['status'] === 'connected');
    expect(device).toMatchObject({ id: deviceId, phone: '51999000001' });
    await eventually(() => rows('device_pairings').length === 0, { says: 'the pairing is over' });
  });

  it('goes both ways, with everything that people do to messages', async () => {
    const { fake } = world;
    const request: WhatsappStack['request'] = (...given) => world.request(...given);
    // She writes.
    const first = await fake.write({ from: ana, to: own }, 'Hola, ¿tienen el azul?');
    const hers = await message((row) => row['message_id'] === first.id);
    expect(hers).toMatchObject({ body: 'Hola, ¿tienen el azul?', is_from_me: false });
    const chatId = Number(hers['chat_id']);
    await one('contacts', (row) => row['phone'] === '51987654321' && row['push_name'] === 'Ana');
    await one('leads', (row) => row['contact_id'] !== undefined);
    await one('chats', (row) => row['id'] === chatId && row['unread_count'] === 1);

    // A picture of hers, as the browser gets it.
    const bytes = Buffer.from('a picture of a blue bicycle'.repeat(4_000));
    const picture = await fake.media({ kind: 'image', bytes, caption: 'Este' });
    const sentPicture = await fake.write({ from: ana, to: own }, picture);
    const shown = await message((row) => row['message_id'] === sentPicture.id);
    const stored = await one(
      'media',
      (row) => row['id'] === shown['media_id'] && row['state'] === 'stored',
    );
    await becomes(shown['id'], { body: 'Este', message_type: 'image' });
    expect(await download(Number(stored['id']))).toEqual(bytes);

    // The answer, and how far it is.
    ana.habits = { deliveredAfterMs: 50, readAfterMs: 300, playedAfterMs: undefined };
    const answer = await request<Row>(account, `POST /api/chats/${chatId}/messages`, {
      kind: 'text',
      body: 'Sí, lo tenemos',
      reply_to: hers['id'],
    });
    expect(answer).toMatchObject({ status: 'pending' });
    const got = await arrived(answer['message_id']);
    const text = got.message.extendedTextMessage;
    expect(text?.text).toBe('Sí, lo tenemos');
    expect(text?.contextInfo?.stanzaId).toBe(first.id);
    await becomes(answer['id'], { status: 'read' });
    expect(history(answer['id'], 'status')).toEqual([
      'pending',
      'sending',
      'sent',
      'delivered',
      'read',
    ]);

    // A file of ours, both ways of the way up.
    const upload = await uploadText('the price list');
    const file = await request<Row>(account, `POST /api/chats/${chatId}/messages`, {
      kind: 'media',
      media_id: upload,
      caption: 'Precios',
    });
    const gotFile = await arrived(file['message_id']);
    expect((await fake.download(gotFile.message)).toString()).toBe('the price list');

    // Reactions, hers and ours.
    await fake.write(
      { from: ana, to: own },
      reaction({ id: String(answer['message_id']), isOwn: false, chat: own.jid }, '👍'),
    );
    await one(
      'message_reactions',
      (row) => row['target_id'] === answer['id'] && row['emoji'] === '👍',
    );
    await request(account, `POST /api/messages/${Number(hers['id'])}/reaction`, { emoji: '❤️' });
    await eventually(
      () => ana.received().some(({ message: said }) => said.reactionMessage?.text === '❤️'),
      { says: 'Ana sees our reaction', timeoutMs: TIMEOUT_MS },
    );
    await one(
      'message_reactions',
      (row) => row['target_id'] === hers['id'] && row['emoji'] === '❤️',
    );

    // She answers, edits, and takes one back.
    const reply1 = await fake.write(
      { from: ana, to: own },
      reply('Bueno', { id: String(answer['message_id']), author: own.jid, content: got.message }),
    );
    const bueno = await message((row) => row['message_id'] === reply1.id);
    expect(bueno).toMatchObject({ quoted_message_id: answer['message_id'] });
    const target = { id: reply1.id, isOwn: true, chat: own.jid };
    await fake.write({ from: ana, to: own }, edit(target, 'Bueno, lo llevo'));
    await becomes(bueno['id'], { body: 'Bueno, lo llevo' });
    expect((await becomes(bueno['id'], {}))['edited_at']).toBeTypeOf('string');
    await fake.write({ from: ana, to: own }, revoke(target));
    const revoked = await message(
      (row) => row['id'] === bueno['id'] && row['revoked_at'] !== undefined,
    );
    expect(revoked['body']).toBeUndefined();

    // So do we.
    await request(account, `POST /api/messages/${Number(answer['id'])}/edit`, { body: 'Sí, hay' });
    await becomes(answer['id'], { body: 'Sí, hay' });
    await request(account, `POST /api/messages/${Number(file['id'])}/revoke`, {});
    await message((row) => row['id'] === file['id'] && row['revoked_at'] !== undefined);
    await eventually(
      () => {
        const kinds = ana.received().map(({ message: said }) => said.protocolMessage?.type);
        return kinds.includes(0) && ana.received().some(({ edit: kind }) => kind === '1');
      },
      {
        says: `Ana sees the edit and the revocation; she has ${JSON.stringify(ana.received()).slice(-1_500)}`,
        timeoutMs: TIMEOUT_MS,
      },
    );
    expect(ana.received().filter(({ times }) => times !== 1)).toEqual([]);
  });

  it('is the same in the browser, in Postgres and by REST at the end', async () => {
    await world.stack.settle();
    await untilEqual(browser, world.truth, account.id);
    expect(browser.faults).toEqual([]);
    expect(browser.resyncs).toEqual([]);
    const [chat] = rows('chats');
    const listed = await world.request<Row[]>(
      account,
      `GET /api/chats/${Number(chat?.['id'])}/messages?limit=200`,
    );
    for (const row of listed) {
      const known = browser.row('messages', Number(row['id']));
      for (const [name, value] of Object.entries(known ?? {}))
        if (name in row) expect({ [name]: row[name] }).toEqual({ [name]: value });
    }
    expect(listed.length).toBeGreaterThanOrEqual(5);
    expect(world.fake.world.errors()).toEqual([]);
  });

  async function download(id: number): Promise<Buffer> {
    const answer = await fetch(`${world.stack.api.url}/api/media/${id}/content`, {
      headers: { authorization: `Bearer ${account.token}` },
    });
    expect(answer.status).toBe(200);
    return Buffer.from(await answer.arrayBuffer());
  }

  async function uploadText(content: string): Promise<number> {
    const form = new FormData();
    form.set('file', new Blob([content], { type: 'text/plain' }), 'prices.txt');
    const answer = await fetch(`${world.stack.api.url}/api/media`, {
      method: 'POST',
      headers: { authorization: `Bearer ${account.token}` },
      body: form,
    });
    const { data } = (await answer.json()) as { data: { id: number } };
    return data.id;
  }
});
