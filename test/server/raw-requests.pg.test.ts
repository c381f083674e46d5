import { beforeAll, describe, expect, test } from 'vitest';
import { fingerprint } from './documented.ts';
import { sendRaw, type Raw } from './raw-socket.ts';
import { startTestApi, type Caller, type TestApi } from './support.ts';

/** What no client library sends, byte by byte. */
let api: TestApi;
let one: Caller;
let port: number;

beforeAll(async () => {
  api = await startTestApi();
  one = await api.account('one');
  port = Number(new URL(await api.app.listen({ port: 0, host: '127.0.0.1' })).port);
});

const send = (bytes: string | Buffer): Promise<Raw> => sendRaw(port, bytes);

type Written = {
  readonly method?: string;
  readonly target: string | Buffer;
  readonly isKnown?: boolean;
  readonly headers?: readonly string[];
  readonly body?: string | Buffer;
};

/** A request with `connection: close`; `headers` are lines. */
function write({ method = 'GET', target, isKnown = true, headers = [], body }: Written): Buffer {
  const lines = [
    'host: localhost',
    'connection: close',
    ...(isKnown ? [`authorization: Bearer ${one.token}`] : []),
    ...headers,
  ];
  return Buffer.concat([
    Buffer.from(`${method} `),
    Buffer.from(target),
    Buffer.from(` HTTP/1.1\r\n${lines.join('\r\n')}\r\n\r\n`, 'latin1'),
    Buffer.from(body ?? ''),
  ]);
}

const JSON_LINE = 'content-type: application/json';
const post = (body: string | Buffer, headers: readonly string[] = [JSON_LINE]): Buffer =>
  write({
    method: 'POST',
    target: '/api/tags',
    headers: [...headers, `content-length: ${Buffer.byteLength(body)}`],
    body,
  });

const changesNothing = async (work: () => Promise<void>): Promise<void> => {
  const before = await fingerprint(api, one.accountId);
  await work();
  expect(await fingerprint(api, one.accountId)).toBe(before);
};

describe('a path', () => {
  test('spelled in another way is another path, or asks for the same token', async () => {
    const targets = [
      '//api/leads',
      '/api//leads',
      '/%61pi/leads',
      '/api/%6ceads',
      '/api/leads/',
      '/api/./leads',
      '/api/x/../leads',
      '/api/%2e%2e/api/leads',
      '/api/leads%2f1',
      '/api/leads%00',
      '/api/leads;x=1',
      '/api;x=1/leads',
      '/api\\leads',
      '/API/leads',
      '/api/Leads',
      '/api/leads%20',
      '/api/leads?',
      '/api/leads#fragment',
      '/docs/../api/leads',
      '/docs/%2e%2e/api/leads',
      '/health/live/../../api/leads',
      'http://localhost/api/leads',
      'http://elsewhere.example/api/leads',
      'https://localhost:1/api/leads',
      `//localhost/api/leads`,
      '*',
      'api/leads',
    ];
    for (const target of targets) {
      const stranger = await send(write({ target, isKnown: false }));
      expect({ target, status: stranger.status }).toEqual({
        target,
        status: expect.toSatisfy((status: number) => [400, 401, 404].includes(status)),
      });
      expect(stranger.body).not.toContain('"data"');
      const known = await send(write({ target }));
      expect({ target, status: known.status }).toEqual({
        target,
        status: expect.toSatisfy((status: number) => [200, 400, 404].includes(status)),
      });
      // Whatever leads to the leads asked a stranger who it is.
      if (known.status === 200)
        expect({ target, status: stranger.status }).toEqual({ target, status: 401 });
    }
  });

  test('of bytes that are no text is refused', async () => {
    for (const target of ['/api/leads/%ff', '/api/leads/%c0%af', '/api/leads/%', '/api/%zz']) {
      const { status, body } = await send(write({ target }));
      expect({ target, status: status === 400 || status === 404 }).toEqual({
        target,
        status: true,
      });
      expect(JSON.parse(body)).toMatchObject({ error: expect.any(String) });
    }
    const bytes = Buffer.from([...Buffer.from('/api/leads/'), 0xff, 0xfe]);
    expect([400, 404]).toContain((await send(write({ target: bytes }))).status);
  });
});

describe('a body', () => {
  test('that is no UTF-8 is refused, and nothing is stored', async () => {
    const broken = [
      Buffer.from([0xff]),
      Buffer.from([0xc3, 0x28]),
      Buffer.from([0xed, 0xa0, 0x80]),
      Buffer.from([0xf5, 0x80, 0x80, 0x80]),
      Buffer.from([0xc0, 0x80]),
    ];
    await changesNothing(async () => {
      for (const bytes of broken) {
        const body = Buffer.concat([Buffer.from('{"name":"'), bytes, Buffer.from('"}')]);
        const { status } = await send(post(body));
        expect({ bytes: bytes.toString('hex'), status }).toEqual({
          bytes: bytes.toString('hex'),
          status: 400,
        });
      }
      const utf16 = Buffer.from('{"name":"wide"}', 'utf16le');
      expect((await send(post(utf16))).status).toBe(400);
      const latin = [`${JSON_LINE}; charset=iso-8859-1`];
      expect((await send(post(Buffer.from('{"name":"caf\xe9"}', 'latin1'), latin))).status).toBe(
        400,
      );
    });
  });

  test('that does not say that it is JSON is refused, and nothing is stored', async () => {
    await changesNothing(async () => {
      for (const type of [
        'text/plain',
        'application/jsonp',
        'application/x-www-form-urlencoded',
        '',
        'x',
      ])
        expect((await send(post('{"name":"typed"}', [`content-type: ${type}`]))).status).toBe(400);
      expect((await send(post('{"name":"untyped"}', []))).status).toBe(400);
    });
  });

  test('whose length is in doubt is refused, and what follows it is no request', async () => {
    const body = '{"name":"smuggled"}';
    const smuggled = `${body}${write({ method: 'POST', target: '/api/tags', headers: [JSON_LINE, 'content-length: 19'], body }).toString('latin1')}`;
    const doubtful: readonly (readonly string[])[] = [
      ['content-length: 19', 'content-length: 20'],
      ['content-length: 19, 20'],
      ['content-length: 5', 'transfer-encoding: chunked'],
      ['transfer-encoding: chunked', 'transfer-encoding: identity'],
      ['transfer-encoding: chunked, identity'],
      ['transfer-encoding: x'],
      ['content-length: -1'],
      ['content-length: 1e1'],
      ['content-length: 99999999999999999999'],
      ['content-length : 19'],
    ];
    await changesNothing(async () => {
      for (const headers of doubtful) {
        const { status, head } = await send(
          write({
            method: 'POST',
            target: '/api/tags',
            headers: [JSON_LINE, ...headers],
            body: smuggled,
          }),
        );
        expect({ headers, status }).toEqual({
          headers,
          status: expect.toSatisfy((code: number) => code >= 400 && code < 500),
        });
        expect(head.match(/HTTP\/1\.1/g)).toHaveLength(1);
      }
    });
  });

  test('in chunks that are none is refused, and nothing is stored', async () => {
    const chunks = [
      'zz\r\n{}\r\n0\r\n\r\n',
      '-1\r\n',
      'ffffffffffffffffff\r\n{}',
      '2\r\n{}xx0\r\n\r\n',
    ];
    await changesNothing(async () => {
      for (const body of chunks) {
        const { status } = await send(
          write({
            method: 'POST',
            target: '/api/tags',
            headers: [JSON_LINE, 'transfer-encoding: chunked'],
            body,
          }),
        );
        expect({ body, status }).toEqual({ body, status: 400 });
      }
    });
  });

  test('that is larger than allowed is refused before it has come', async () => {
    const headers = [JSON_LINE, 'content-length: 1000000000'];
    const announced = await send(write({ method: 'POST', target: '/api/tags', headers }));
    expect(announced.status).toBe(413);
    const chunk = `${(1_100_000).toString(16)}\r\n${'x'.repeat(1_100_000)}\r\n0\r\n\r\n`;
    const chunked = await send(
      write({
        method: 'POST',
        target: '/api/tags',
        headers: [JSON_LINE, 'transfer-encoding: chunked'],
        body: chunk,
      }),
    );
    expect(chunked.status).toBe(413);
  });

  test('that waits to be asked for is taken from who may send it', async () => {
    const headers = [JSON_LINE, 'content-length: 17', 'expect: 100-continue'];
    const body = '{"name":"waited"}';
    const stranger = await send(
      write({ method: 'POST', target: '/api/tags', headers, body, isKnown: false }),
    );
    expect(stranger.head + stranger.body).toContain('HTTP/1.1 401 ');
    const known = await send(write({ method: 'POST', target: '/api/tags', headers, body }));
    expect(known.head + known.body).toContain('HTTP/1.1 201 ');
    const other = await send(
      write({
        method: 'POST',
        target: '/api/tags',
        headers: [JSON_LINE, 'expect: the-unexpected', 'content-length: 2'],
        body: '{}',
      }),
    );
    expect([400, 417]).toContain(other.status);
  });
});

describe('headers', () => {
  test('that are too many, too long or none are refused', async () => {
    const many = Array.from({ length: 3_000 }, (_, index) => `x-${index}: y`);
    const bombs: readonly (readonly string[])[] = [
      many,
      [`x-long: ${'y'.repeat(200_000)}`],
      [`cookie: ${'a=b; '.repeat(50_000)}`],
      ['no colon'],
      ['x y: z'],
      ['x: a\0b'],
      [' folded: x'],
    ];
    for (const headers of bombs) {
      const { status } = await send(write({ target: '/api/leads', headers }));
      expect({ header: headers[0]?.slice(0, 20), status }).toEqual({
        header: headers[0]?.slice(0, 20),
        status: expect.toSatisfy((code: number) => code === 400 || code === 431),
      });
    }
  });

  test('that say twice who calls are believed once or not at all', async () => {
    const two = await api.account('two');
    const headers = [`authorization: Bearer ${two.token}`];
    const { status, body } = await send(write({ target: '/api/leads', headers }));
    expect([200, 400, 401]).toContain(status);
    if (status === 200) expect(body).not.toContain(`"account_id":${two.accountId},`);
    const cookies = [`cookie: clarin_token=${two.token}`, 'cookie: clarin_token=x'];
    const mixed = await send(write({ target: '/api/leads', headers: cookies }));
    expect(mixed.body).not.toContain(`"account_id":${two.accountId},`);
  });

  test('that say another method are not heard', async () => {
    const [id] = one.tagIds;
    await changesNothing(async () => {
      for (const line of [
        'x-http-method-override: DELETE',
        'x-method-override: DELETE',
        'x-http-method: DELETE',
      ])
        expect((await send(write({ target: `/api/tags/${id}`, headers: [line] }))).status).toBe(
          200,
        );
      for (const method of ['TRACE', 'CONNECT', 'PROPFIND', 'get', 'DELETEX', 'OPTIONS'])
        expect((await send(write({ method, target: `/api/tags/${id}` }))).status).not.toBe(200);
    });
  });

  test('of what is no HTTP at all get no answer but a refusal', async () => {
    for (const bytes of [
      '\0\0\0\0',
      '\x16\x03\x01\x02\x00\x01\x00',
      'GET /api/leads\r\n\r\n',
      'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n',
      'GET /api/leads HTTP/9.9\r\n\r\n',
    ]) {
      const { status } = await send(bytes);
      expect([0, 400, 401, 505]).toContain(status);
    }
  });
});
