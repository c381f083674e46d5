import { Readable } from 'node:stream';
import { beforeAll, describe, expect, test } from 'vitest';
import { createLog } from '../../platform/log.ts';
import { sql } from '../../platform/sql.ts';
import { removeMedia } from '../../server/ingest/remove-media.ts';
import { eventually } from '../support/services.ts';
import { startTestApi, type Caller, type TestApi } from './support.ts';

const PNG = Buffer.concat([
  Buffer.from('\x89PNG\r\n\x1a\n', 'latin1'),
  Buffer.from(Array.from({ length: 1_000 }, (_, index) => index % 251)),
]);
const BYTES_MAX = 64 * 1024;

let api: TestApi;
let one: Caller;
let two: Caller;

beforeAll(async () => {
  api = await startTestApi({ environment: { MEDIA_BYTES_MAX: String(BYTES_MAX) } });
  one = await api.account('one');
  two = await api.account('two');
});

type Form = { name?: string; filename?: string; type?: string; bytes: Buffer };

function formOf({ name = 'file', filename = 'a.png', type = 'image/png', bytes }: Form) {
  const boundary = 'a-boundary';
  const head = `--${boundary}\r\ncontent-disposition: form-data; name="${name}"; filename="${filename}"\r\ncontent-type: ${type}\r\n\r\n`;
  return {
    payload: Buffer.concat([Buffer.from(head), bytes, Buffer.from(`\r\n--${boundary}--\r\n`)]),
    headers: { 'content-type': `multipart/form-data; boundary=${boundary}` },
  };
}

async function upload(caller: Caller | { token: string }, form: Form, more = {}) {
  const { payload, headers } = formOf(form);
  const answer = await api.app.inject({
    method: 'POST',
    url: '/api/media',
    headers: { authorization: `Bearer ${caller.token}`, ...headers, ...more },
    payload,
  });
  return { status: answer.statusCode, body: answer.json(), headers: answer.headers };
}

async function download(caller: { token: string }, id: number, headers = {}, query = '') {
  const answer = await api.app.inject({
    method: 'GET',
    url: `/api/media/${id}/content${query}`,
    headers: { authorization: `Bearer ${caller.token}`, ...headers },
  });
  return { status: answer.statusCode, headers: answer.headers, bytes: answer.rawPayload };
}

const keysOf = async (id: number): Promise<string> => {
  const [row] = await api.owner.query(sql`select object_key from public.media where id = ${id}`);
  return row?.['object_key'] ?? '';
};
const countFiles = async (): Promise<number> => {
  const [row] = await api.owner.query(sql`select count(*) as total from public.media`);
  return Number(row?.['total']);
};

describe('a file', () => {
  test('is uploaded, described by what it is, and comes back byte for byte', async () => {
    const made = await upload(one, { bytes: PNG, filename: 'Preis liste.png', type: 'text/html' });
    expect(made.status).toBe(201);
    expect(made.body.data).toMatchObject({
      mimetype: 'image/png',
      filename: 'Preis liste.png',
      size: PNG.length,
      state: 'stored',
      created_by: one.userId,
    });
    expect(JSON.stringify(made.body)).not.toContain('object_key');
    const got = await download(one, made.body.data.id);
    expect(got.status).toBe(200);
    expect(got.bytes.equals(PNG)).toBe(true);
    expect(got.headers).toMatchObject({
      'content-type': 'image/png',
      'x-content-type-options': 'nosniff',
      'accept-ranges': 'bytes',
      'content-length': String(PNG.length),
    });
    expect(got.headers['content-disposition']).toContain('inline');
    const saved = await download(one, made.body.data.id, {}, '?download=true');
    expect(saved.headers['content-disposition']).toContain('attachment');
  });

  test('is downloaded in ranges, and not again by who has it', async () => {
    const { id } = (await upload(one, { bytes: PNG })).body.data;
    const part = await download(one, id, { range: 'bytes=10-19' });
    expect(part.status).toBe(206);
    expect(part.headers['content-range']).toBe(`bytes 10-19/${PNG.length}`);
    expect(part.bytes.equals(PNG.subarray(10, 20))).toBe(true);
    const tail = await download(one, id, { range: 'bytes=-5' });
    expect(tail.bytes.equals(PNG.subarray(-5))).toBe(true);
    const beyond = await download(one, id, { range: 'bytes=5000-' });
    expect(beyond.status).toBe(416);
    expect(beyond.headers['content-range']).toBe(`bytes */${PNG.length}`);
    const { etag } = (await download(one, id)).headers;
    expect((await download(one, id, { 'if-none-match': etag })).status).toBe(304);
    expect((await download(one, id, { 'if-none-match': `"x", W/${etag}` })).status).toBe(304);
    const head = await api.app.inject({
      method: 'HEAD',
      url: `/api/media/${id}/content`,
      headers: { authorization: `Bearer ${one.token}`, range: 'bytes=0-1' },
    });
    expect([head.statusCode, head.headers['content-length']]).toEqual([200, String(PNG.length)]);
    const changed = await download(one, id, { range: 'bytes=0-1', 'if-range': '"another"' });
    expect(changed.status).toBe(200);
  });

  test('that is a page is never shown as one', async () => {
    const page = Buffer.from('<!doctype html><script>alert(1)</script>');
    const made = await upload(one, { bytes: page, filename: 'a.html', type: 'text/html' });
    const got = await download(one, made.body.data.id);
    expect(got.headers['content-type']).toBe('text/plain; charset=utf-8');
    expect(got.headers['content-disposition']).toContain('attachment');
  });

  test('of another account, or of a device the role does not have, is not there', async () => {
    const { id } = (await upload(one, { bytes: PNG })).body.data;
    expect((await download(two, id)).status).toBe(404);
    await api.owner.query(sql`
      update public.media set device_id = ${one.deviceIds[1]} where id = ${id}`);
    const token = await api.tokenOf(one, ['chats']);
    await api.owner.query(sql`
      update public.roles set device_ids = array[${one.deviceIds[0]}]::bigint[]
      where account_id = ${one.accountId} and permissions = '{chats}'`);
    expect((await download({ token }, id)).status).toBe(404);
    // Forwarded to a chat of theirs, it is theirs to see.
    const [shown] = await api.owner.query(sql`
      insert into public.messages (account_id, chat_id, device_id, message_type, media_id, is_from_me)
      values (${one.accountId}, ${one.chatIds[1]}, ${one.deviceIds[0]}, 'image', ${id}, true)
      returning id`);
    expect((await download({ token }, id)).status).toBe(200);
    await api.owner.query(sql`delete from public.messages where id = ${Number(shown?.['id'])}`);
    expect((await download({ token }, id)).status).toBe(404);
    expect((await download(one, id)).status).toBe(200);
    const { token: other } = { token: await api.tokenOf(one, ['leads']) };
    expect((await download({ token: other }, id)).status).toBe(403);
    expect((await upload({ token: other }, { bytes: PNG })).status).toBe(403);
  });

  test('that is deleted is gone from the store too, once a worker comes round', async () => {
    const { id } = (await upload(one, { bytes: PNG })).body.data;
    const key = await keysOf(id);
    expect((await api.ask(one, 'DELETE', `/api/media/${id}`)).status).toBe(200);
    expect((await download(one, id)).status).toBe(404);
    // One that somebody wrote by hand is in nobody's way.
    await api.owner.query(sql`
      insert into private.media_removals (account_id, object_key) values (${one.accountId}, '../x')`);
    const means = {
      database: api.owner,
      media: api.media,
      log: createLog({ component: 'ingest', level: 'silent' }),
    };
    expect(await removeMedia(means)).toBe(2);
    expect(await api.media.get(key)).toBeUndefined();
    expect(await removeMedia(means)).toBe(0);
  });

  test('that is uploaded again with the same key is one file', async () => {
    const before = await countFiles();
    const first = await upload(one, { bytes: PNG }, { 'idempotency-key': 'upload-1' });
    const again = await upload(one, { bytes: PNG }, { 'idempotency-key': 'upload-1' });
    expect(again.body).toEqual(first.body);
    expect(again.headers['idempotency-replayed']).toBe('true');
    expect(await countFiles()).toBe(before + 1);
    expect((await download(one, first.body.data.id)).status).toBe(200);
  });
});

test('another file with the same key is refused, and not answered with the first', async () => {
  const key = { 'idempotency-key': 'upload-2' };
  expect((await upload(one, { bytes: PNG }, key)).status).toBe(201);
  const before = await countFiles();
  const other = await upload(one, { bytes: Buffer.from('another') }, key);
  expect(other.body.code).toBe('idempotency_mismatch');
  expect(await countFiles()).toBe(before);
});

test('who is shut out while the file comes in leaves none', async () => {
  const before = await countFiles();
  for (const { end, status } of [
    {
      end: sql`update public.sessions set revoked_at = now() where account_id = ${two.accountId}`,
      status: 401,
    },
    {
      end: sql`
        update public.roles set permissions = '{leads}'
        where account_id = ${two.accountId} and permissions = '{chats}'`,
      status: 403,
    },
  ]) {
    const token = await api.tokenOf(two, ['chats']);
    const { payload, headers } = formOf({ bytes: PNG });
    api.statements.length = 0;
    async function* slowly() {
      yield payload.subarray(0, 500);
      await eventually(() => api.statements.some((text) => text.includes('public.sessions')), {
        says: 'the session was asked for',
      });
      await api.owner.query(end);
      yield payload.subarray(500);
    }
    const answer = await api.app.inject({
      method: 'POST',
      url: '/api/media',
      headers: { authorization: `Bearer ${token}`, ...headers },
      payload: Readable.from(slowly()),
    });
    expect(answer.statusCode).toBe(status);
  }
  expect(await countFiles()).toBe(before);
});

describe('an upload that is none', () => {
  test('is refused with what is wrong, and nothing is stored', async () => {
    const before = await countFiles();
    const tooLarge = await upload(one, { bytes: Buffer.alloc(BYTES_MAX + 1, 'a') });
    expect(tooLarge.status).toBe(413);
    const misnamed = await upload(one, { bytes: PNG, name: 'picture' });
    expect(misnamed.status).toBe(400);
    expect(misnamed.body.error).toContain('should be "file"');
    expect((await upload(one, { bytes: Buffer.alloc(0) })).status).toBe(400);
    const json = await api.ask(one, 'POST', '/api/media', { body: { file: 'x' } });
    expect(json.status).toBe(400);
    expect(json.body.details.fields[0].field).toBe('body.file');
    const { payload, headers } = formOf({ bytes: PNG });
    const field = Buffer.from(
      '--a-boundary\r\ncontent-disposition: form-data; name="folder"\r\n\r\nx\r\n',
    );
    const end = payload.indexOf('--a-boundary--');
    for (const parts of [
      [field, payload],
      [payload.subarray(0, end), field, payload.subarray(end)],
    ]) {
      const more = await api.ask(one, 'POST', '/api/media', {
        headers,
        body: Buffer.concat(parts),
      });
      expect(more.status).toBe(400);
    }
    const cut = formOf({ bytes: PNG });
    const broken = await api.app.inject({
      method: 'POST',
      url: '/api/media',
      headers: { authorization: `Bearer ${one.token}`, ...cut.headers },
      payload: cut.payload.subarray(0, 200),
    });
    expect(broken.statusCode).toBe(400);
    expect(await countFiles()).toBe(before);
  });
});
