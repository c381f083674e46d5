import { randomBytes } from 'node:crypto';
import { Readable } from 'node:stream';
import { beforeAll, describe, expect, it } from 'vitest';
import { createMediaKey } from '../../platform/media/key.ts';
import { sql } from '../../platform/sql.ts';
import { SEND_REFUSALS } from '../../server/whatsapp/judge-send.ts';
import { eventually } from '../support/eventually.ts';
import { hex, JPEG, MIB, startMediaStage } from './whatsapp-media-world.ts';
import { openOutboxWorld, type OutboxWorld, type Stage } from './whatsapp-outbox-world.ts';

let world: OutboxWorld;

beforeAll(async () => {
  world = await openOutboxWorld();
});

const OPUS = Buffer.concat([
  Buffer.from('OggS'),
  Buffer.alloc(22),
  Buffer.from([1, 19]),
  Buffer.from('OpusHead'),
  Buffer.alloc(64),
]);

const start = () => startMediaStage(world);

/** The row of a file, with its bytes in the store unless there are none. */
const file = async (
  { accountId }: Stage,
  { bytes, mimetype, name }: { bytes: Buffer | undefined; mimetype: string; name?: string },
): Promise<number> => {
  const key = createMediaKey(accountId);
  const put = { bytesMax: 200 * MIB, contentType: mimetype };
  if (bytes) await world.media.put(key, Readable.from(split(bytes)), put);
  const [row] = await world.owner.query(sql`
    insert into public.media (account_id, object_key, mimetype, filename, size, state)
    values (${accountId}, ${key}, ${mimetype}, ${name ?? null}, ${bytes?.length ?? 1}, 'stored') returning id`);
  return Number(row?.['id']);
};

function* split(bytes: Buffer): Generator<Buffer> {
  for (let at = 0; at < bytes.length; at += 65_536) yield bytes.subarray(at, at + 65_536);
}

describe('a file that is sent', () => {
  it('is what arrives, with its caption; a voice message is one', async () => {
    const stage = await start();
    const chatId = await stage.chatWith(stage.ana);
    const image = await stage.pending(chatId, {
      message_type: 'image',
      body: 'Look',
      media_id: await file(stage, { bytes: JPEG, mimetype: 'image/jpeg' }),
    });
    const voice = await stage.pending(chatId, {
      message_type: 'audio',
      media_id: await file(stage, { bytes: OPUS, mimetype: 'audio/ogg; codecs=opus' }),
    });
    const document = await stage.pending(chatId, {
      message_type: 'document',
      media_id: await file(stage, {
        bytes: Buffer.from('%PDF-1.7'),
        mimetype: 'application/pdf',
        name: 'a.pdf',
      }),
    });
    await stage.work();
    await stage.becomes(document.id, 'sent');
    const messages = [image, voice, document].map(
      ({ stanzaId }) => stage.ana.find(stanzaId)?.message,
    );
    const [first = {}, second = {}, third = {}] = messages;
    expect(first.imageMessage).toMatchObject({ caption: 'Look', mimetype: 'image/jpeg' });
    expect(await stage.fake.download(first)).toEqual(JPEG);
    expect(second.audioMessage).toMatchObject({ ptt: true, mimetype: 'audio/ogg; codecs=opus' });
    expect(await stage.fake.download(second)).toEqual(OPUS);
    expect(third.documentMessage).toMatchObject({ fileName: 'a.pdf' });
    // In order, although what is small is uploaded sooner.
    expect(stage.ana.received().map(({ id }) => id)).toEqual(
      [image, voice, document].map(({ stanzaId }) => stanzaId),
    );
  });

  it('is uploaded once, however many it goes to', async () => {
    const stage = await start();
    const chats = [await stage.chatWith(stage.ana)];
    for (const n of [1, 2, 3]) {
      const person = stage.fake.addPerson({ phone: `5196666660${n}`, name: `P${n}` });
      chats.push(await stage.chatWith(person));
    }
    const mediaId = await file(stage, { bytes: JPEG, mimetype: 'image/jpeg' });
    await stage.work();
    const [first = 0, ...others] = chats;
    const picture = { message_type: 'image', media_id: mediaId };
    await stage.becomes((await stage.pending(first, picture)).id, 'sent');
    const rows = await Promise.all(others.map((chat) => stage.pending(chat, picture)));
    for (const { id } of rows) await stage.becomes(id, 'sent');
    expect(stage.fake.world.files.list()).toHaveLength(1);
  });

  it('does not keep other chats waiting, and its contact is asked for when it leaves', async () => {
    const stage = await start();
    const slow = await stage.chatWith(stage.ana);
    const luis = stage.fake.addPerson({ phone: '51955555555', name: 'Luis' });
    const quick = await stage.chatWith(luis);
    // A host that takes no file, for now.
    const fault = stage.fake.world.faults.add({ does: { kind: 'query-silence', xmlns: 'w:m' } });
    const image = await stage.pending(slow, {
      message_type: 'image',
      media_id: await file(stage, { bytes: JPEG, mimetype: 'image/jpeg' }),
    });
    const behind = await stage.pending(slow, { body: 'behind' });
    const text = await stage.pending(quick, { body: 'quick' });
    const worker = await stage.work();
    await stage.becomes(text.id, 'sent');
    expect((await stage.message(behind.id))['status']).toBe('pending');
    await worker.kill();
    stage.fake.world.faults.remove(fault.id);
    await world.owner.query(sql`
      update public.contacts set do_not_contact = true
      where id = (select contact_id from public.chats where id = ${slow})`);
    await stage.work();
    expect((await stage.becomes(image.id, 'failed'))['error']).toBe(SEND_REFUSALS.do_not_contact);
    expect(stage.ana.received()).toEqual([]);
  });

  it('whose bytes are gone fails, and one that no host takes is tried again', async () => {
    const stage = await start();
    const chatId = await stage.chatWith(stage.ana);
    const lost = await stage.pending(chatId, {
      message_type: 'image',
      media_id: await file(stage, { bytes: undefined, mimetype: 'image/jpeg' }),
    });
    await stage.work();
    expect((await stage.becomes(lost.id, 'failed'))['error']).toBe(SEND_REFUSALS.file_gone);
    stage.fake.world.faults.add({ times: 2, does: { kind: 'upload-status', status: 500 } });
    const again = await stage.pending(chatId, {
      message_type: 'image',
      media_id: await file(stage, { bytes: JPEG, mimetype: 'image/jpeg' }),
    });
    await eventually(async () => {
      const [note] = await world.owner.query(sql`
        select next_at > now() as waits from private.whatsapp_sends where message_id = ${again.id}`);
      return note?.['waits'] === 't' && stage.fake.world.faults.list().length === 0;
    });
    await world.owner.query(sql`update private.whatsapp_sends set next_at = now()`);
    await stage.becomes(again.id, 'sent');
  });

  it('that is too large for WhatsApp fails with a sentence', async () => {
    const stage = await start();
    const chatId = await stage.chatWith(stage.ana);
    stage.fake.world.faults.add({ times: 1, does: { kind: 'upload-status', status: 413 } });
    const { id } = await stage.pending(chatId, {
      message_type: 'image',
      media_id: await file(stage, { bytes: JPEG, mimetype: 'image/jpeg' }),
    });
    await stage.work();
    expect((await stage.becomes(id, 'failed'))['error']).toBe(SEND_REFUSALS.file_too_large);
  });

  it('is what arrives, however large', async () => {
    const stage = await start();
    const bytes = randomBytes(20 * MIB);
    const chatId = await stage.chatWith(stage.ana);
    const { id, stanzaId } = await stage.pending(chatId, {
      message_type: 'document',
      media_id: await file(stage, { bytes, mimetype: 'application/octet-stream' }),
    });
    await stage.work();
    await stage.becomes(id, 'sent');
    const message = stage.ana.find(stanzaId)?.message ?? {};
    expect(hex(await stage.fake.download(message))).toBe(hex(bytes));
  });
});
