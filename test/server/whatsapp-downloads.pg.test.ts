import { randomBytes } from 'node:crypto';
import { proto } from '@whiskeysockets/baileys';
import { beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { createMediaKey } from '../../platform/media/key.ts';
import { sql } from '../../platform/sql.ts';
import { queueDownloads } from '../../server/commands/queue-download.ts';
import { write } from '../../server/ingest/whatsapp/device-context.ts';
import {
  startDownloads,
  type DownloadOptions,
} from '../../server/ingest/whatsapp/media-download.ts';
import { DOWNLOAD_REFUSALS } from '../../server/whatsapp/judge-download.ts';
import { eventually } from '../support/eventually.ts';
import { hex, JPEG, MIB, startMediaStage } from './whatsapp-media-world.ts';
import {
  keepRinging,
  openOutboxWorld,
  type OutboxWorld,
  type Stage,
  type Worker,
} from './whatsapp-outbox-world.ts';

let world: OutboxWorld;

beforeAll(async () => {
  world = await openOutboxWorld();
});

const start = () => startMediaStage(world);

/** The row of a file that came with a message, still to be fetched. */
const come = async (
  stage: Stage,
  worker: Worker,
  message: proto.IMessage,
  { id = 'IN1', size = 1 } = {},
): Promise<number> => {
  const { accountId, deviceId } = stage;
  const chatId = await stage.chatWith(stage.ana);
  const [row] = await world.owner.query(sql`
    insert into public.media (account_id, device_id, object_key, mimetype, size)
    values (${accountId}, ${deviceId}, ${createMediaKey(accountId)}, 'image/jpeg', ${size}) returning id`);
  const mediaId = Number(row?.['id']);
  await world.owner.query(sql`
    insert into public.messages (account_id, chat_id, message_type, media_id, media, is_from_me, status)
    values (${accountId}, ${chatId}, 'image', ${mediaId}, '{"state":"pending"}', false, 'received')`);
  const info = proto.WebMessageInfo.encode(
    proto.WebMessageInfo.fromObject({
      key: { remoteJid: stage.ana.lidJid, id, fromMe: false },
      message,
    }),
  ).finish();
  await write(worker.context, (tx) =>
    queueDownloads(tx, worker.context.box, {
      accountId,
      deviceId,
      downloads: [{ mediaId, info }],
    }),
  );
  return mediaId;
};
const fetching = (worker: Worker, options: Partial<DownloadOptions> = {}) => {
  const running = startDownloads(worker.context, worker.linked, {
    bytesMax: 50 * MIB,
    isFake: true,
    ...options,
  });
  keepRinging(running);
  onTestFinished(() => running.stop());
  return running;
};
const stateOf = async (mediaId: number) => {
  const [row] = await world.owner.query(sql`
    select file.state, file.size, file.sha256, file.mimetype, file.object_key, message.media,
      download.error as download_error, download.attempts, download.next_at > now() as waits
    from public.media as file
    left join public.messages as message on message.media_id = file.id
    left join private.whatsapp_downloads as download on download.media_id = file.id
    where file.id = ${mediaId}`);
  return row ?? {};
};
const becomes = (mediaId: number, state: string) =>
  eventually(
    async () => {
      const row = await stateOf(mediaId);
      if (row['state'] !== state) throw new Error(`${row['state']}: ${row['download_error']}`);
      return row;
    },
    { says: `the file is ${state}`, timeoutMs: 20_000 },
  );
const stored = async (key: string | null | undefined) => {
  const got = await world.media.get(key ?? '');
  return got && Buffer.concat((await got.stream.toArray()) as Buffer[]);
};

describe('a file that comes', () => {
  it('is fetched, checked and stored; its message says so, and nothing of it is left to do', async () => {
    const stage = await start();
    const worker = await stage.link();
    const mediaId = await come(
      stage,
      worker,
      await stage.fake.media({ kind: 'image', bytes: JPEG }),
    );
    fetching(worker);
    const row = await becomes(mediaId, 'stored');
    expect(row).toMatchObject({ size: String(JPEG.length), sha256: hex(JPEG), attempts: null });
    expect(JSON.parse(row['media'] ?? '{}')).toMatchObject({
      state: 'stored',
      size: JPEG.length,
      mimetype: 'image/jpeg',
    });
    expect(await stored(row['object_key'])).toEqual(JPEG);
  });

  it('is what its bytes are, whatever its message says', async () => {
    const stage = await start();
    const worker = await stage.link();
    const bytes = Buffer.from('<html><script>alert(1)</script></html>');
    const mediaId = await come(stage, worker, await stage.fake.media({ kind: 'image', bytes }));
    fetching(worker);
    expect((await becomes(mediaId, 'stored'))['mimetype']).toBe('text/plain');
  });

  it('that is gone is brought back by the phone', async () => {
    const stage = await start();
    const { id, image } = await expired(stage, 404);
    const worker = await stage.link();
    const mediaId = await come(stage, worker, image, { id });
    fetching(worker);
    expect((await becomes(mediaId, 'stored'))['sha256']).toBe(hex(JPEG));
  });

  it('that the phone does not have either is lost, with a sentence', async () => {
    const stage = await start();
    const { id, image } = await expired(stage, 410);
    stage.fake.world.settings.mediaRetry = 'not-found';
    const worker = await stage.link();
    const mediaId = await come(stage, worker, image, { id });
    fetching(worker);
    const row = await becomes(mediaId, 'failed');
    expect(JSON.parse(row['media'] ?? '{}')).toMatchObject({
      state: 'failed',
      reason: DOWNLOAD_REFUSALS.not_on_phone,
    });
    expect(row['attempts']).toBeNull();
  });

  it('is tried again when it could not be fetched, also by another worker', async () => {
    const stage = await start();
    const worker = await stage.link();
    const fault = stage.fake.world.faults.add({ does: { kind: 'download-status', status: 503 } });
    const mediaId = await come(
      stage,
      worker,
      await stage.fake.media({ kind: 'image', bytes: JPEG }),
    );
    const running = fetching(worker);
    await eventually(async () => (await stateOf(mediaId))['download_error'] !== null);
    expect(await stateOf(mediaId)).toMatchObject({ state: 'pending', attempts: '1', waits: 't' });
    stage.fake.world.faults.remove(fault.id);
    await running.stop();
    // As one leaves it that was killed while it fetched.
    await world.owner.query(sql`
      update private.whatsapp_downloads set error = null, next_at = now() + interval '20 minutes'
      where media_id = ${mediaId}`);
    fetching(worker);
    await becomes(mediaId, 'stored');
  });

  it.each([
    ['size', { bytesMax: 1_000 }, 5_000],
    ['true size', { bytesMax: 1_000 }, 1],
    ['account’s room', { accountBytesMax: 4_000 }, 5_000],
  ])('beyond the %s is refused', async (what, options, size) => {
    const stage = await start();
    const worker = await stage.link();
    const image = await stage.fake.media({ kind: 'image', bytes: JPEG });
    const mediaId = await come(stage, worker, image, { size });
    fetching(worker, options);
    const row = await becomes(mediaId, 'failed');
    const reason = what.startsWith('account')
      ? DOWNLOAD_REFUSALS.over_quota
      : DOWNLOAD_REFUSALS.too_large;
    expect(JSON.parse(row['media'] ?? '{}')).toMatchObject({ reason });
    expect(await stored(row['object_key'])).toBeUndefined();
  });

  it('that was altered on its way is not stored', async () => {
    const stage = await start();
    const worker = await stage.link();
    const image = await stage.fake.media({ kind: 'image', bytes: JPEG });
    const [file] = stage.fake.world.files.list();
    if (file) file.bytes[100] = (file.bytes[100] ?? 0) ^ 1;
    const mediaId = await come(stage, worker, image);
    fetching(worker);
    await eventually(async () => (await stateOf(mediaId))['download_error'] !== null);
    const row = await stateOf(mediaId);
    expect(row).toMatchObject({ state: 'pending', download_error: 'the file is not authentic' });
    expect(await stored(row['object_key'])).toBeUndefined();
  });

  it('is never fetched from where a stranger says', async () => {
    const stage = await start();
    const worker = await stage.link();
    const image = await stage.fake.media({ kind: 'image', bytes: JPEG });
    const mediaId = await come(stage, worker, image);
    // Not a fake: this machine is no host of WhatsApp's.
    fetching(worker, { isFake: false });
    const row = await becomes(mediaId, 'failed');
    expect(JSON.parse(row['media'] ?? '{}')).toMatchObject({ reason: DOWNLOAD_REFUSALS.no_place });
    expect(stage.fake.world.files.list()[0]?.downloads).toBe(0);
  });

  it('whose message is deleted meanwhile leaves nothing', async () => {
    const stage = await start();
    const worker = await stage.link();
    const mediaId = await come(
      stage,
      worker,
      await stage.fake.media({ kind: 'image', bytes: JPEG }),
    );
    const { object_key: key } = await stateOf(mediaId);
    const put = world.media.put.bind(world.media);
    // Right after its bytes are there.
    const media = {
      ...world.media,
      put: async (...args: Parameters<typeof put>) => {
        const done = await put(...args);
        await world.owner.query(sql`delete from public.media where id = ${mediaId}`);
        return done;
      },
    };
    fetching({ ...worker, context: { ...worker.context, media } });
    await eventually(async () => (await stateOf(mediaId))['state'] === undefined);
    await eventually(async () => (await stored(key)) === undefined);
  });

  it('is what was sent, however large', async () => {
    const stage = await start();
    const worker = await stage.link();
    const bytes = randomBytes(20 * MIB);
    const mediaId = await come(stage, worker, await stage.fake.media({ kind: 'document', bytes }));
    fetching(worker);
    expect((await becomes(mediaId, 'stored'))['sha256']).toBe(hex(bytes));
  });

  /** A picture that Ana wrote, and that WhatsApp does not have any more. */
  async function expired({ fake, ana, own }: Stage, status: number) {
    const image = await fake.media({ kind: 'image', bytes: JPEG });
    const { id } = await fake.write({ from: ana, to: own }, image);
    fake.expire(image, status);
    return { id, image };
  }
});
