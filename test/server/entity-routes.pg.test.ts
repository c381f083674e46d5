import { beforeAll, describe, expect, test } from 'vitest';
import { ENTITIES } from '../../domain/registry.ts';
import { sql, ident } from '../../platform/sql.ts';
import { startTestApi, type Caller, type TestApi } from './support.ts';

let api: TestApi;
let one: Caller;
let two: Caller;

beforeAll(async () => {
  api = await startTestApi();
  one = await api.account('one');
  two = await api.account('two');
});

const served = ENTITIES.filter((entity) => entity.rest !== 'none');

async function firstId(table: string, accountId: number): Promise<number> {
  const rows = await api.owner.query(sql`
    select id from ${ident(table)} where account_id = ${accountId} order by id limit 1`);
  return Number(rows[0]?.['id']);
}

describe.each(served.map((entity) => [entity.table, entity] as const))(
  'plain routes of %s',
  (table, entity) => {
    test('a list shows the account and nobody else, with a cursor and where it came from', async () => {
      const { status, headers, body } = await api.ask(one, 'GET', `/api/${table}`);
      expect(status).toBe(200);
      expect(headers['clarin-cache']).toBe('bypass');
      expect(body.data.length).toBeGreaterThan(0);
      expect(body).toMatchObject({ page: 1, limit: 50 });
      for (const row of body.data) expect(row.account_id).toBe(one.accountId);
    });

    test('one row has an ETag, and is not sent again to who has it', async () => {
      const id = await firstId(table, one.accountId);
      const read = await api.ask(one, 'GET', `/api/${table}/${id}`);
      expect(read.status).toBe(200);
      expect(read.body.data.id).toBe(id);
      expect(read.headers['etag']).toContain(read.body.data.updated_at);
      const again = await api.ask(one, 'GET', `/api/${table}/${id}`, {
        headers: { 'if-none-match': read.headers['etag'] ?? '' },
      });
      expect(again.status).toBe(304);
      expect(again.text).toBe('');
    });

    test("another account's row is not there, to read, to change or to delete", async () => {
      const id = await firstId(table, two.accountId);
      for (const [method, body] of [['GET'], ['DELETE'], ['PATCH', patchOf(table)]] as const) {
        if (method !== 'GET' && entity.rest !== 'crud') continue;
        const answer = await api.ask(one, method, `/api/${table}/${id}`, { body });
        expect({ method, status: answer.status }).toEqual({ method, status: 404 });
        expect(answer.text).not.toContain(`"account_id":${two.accountId}`);
      }
      const there = await api.ask(two, 'GET', `/api/${table}/${id}`);
      expect(there.status).toBe(200);
    });

    test('nobody without a token and nobody without the permission gets in', async () => {
      const narrow = {
        token: await api.tokenOf(one, entity.permission === 'chats' ? ['ops'] : ['chats']),
      };
      const methods = entity.rest === 'crud' ? (['GET', 'POST'] as const) : (['GET'] as const);
      for (const method of methods) {
        expect(
          (
            await api.ask(undefined, method, `/api/${table}`, {
              body: method === 'POST' ? {} : undefined,
            })
          ).status,
        ).toBe(401);
        const refused = await api.ask(narrow, method, `/api/${table}`, {
          body: method === 'POST' ? {} : undefined,
        });
        expect(refused.status).toBe(403);
        expect(refused.body.code).toBe('forbidden');
      }
    });

    test('what a route does not take is refused by name', async () => {
      const list = await api.ask(one, 'GET', `/api/${table}?no_such_filter=1`);
      expect(list.status).toBe(400);
      expect(list.body.details.fields.length).toBeGreaterThan(0);
      const created = await api.ask(one, 'POST', `/api/${table}`, { body: { no_such_column: 1 } });
      // Imports are read by the plain routes and made by a form of their own.
      const isMade = entity.rest === 'crud' || table === 'imports';
      expect(created.status).toBe(isMade ? 400 : 404);
      expect((await api.ask(one, 'GET', `/api/${table}/none`)).status).toBe(400);
      const minCommit = await api.ask(one, 'GET', `/api/${table}`, {
        headers: { 'clarin-min-commit': 'yesterday' },
      });
      expect(minCommit.status).toBe(400);
      expect(minCommit.body.details.fields[0].field).toBe('headers.clarin-min-commit');
    });

    test('a list is one statement', async () => {
      await api.ask(one, 'GET', '/api/auth/me');
      api.statements.length = 0;
      await api.ask(one, 'GET', `/api/${table}`);
      // Without a replicator the principal is read from Postgres too.
      expect(
        api.statements.filter((text) => !text.includes('public.sessions as session')),
      ).toHaveLength(1);
    });
  },
);

function patchOf(table: string): Record<string, unknown> {
  if (table === 'leads' || table === 'quick_replies') return { title: 'taken over' };
  if (table === 'memberships') return { is_default: false };
  if (table === 'media') return { filename: 'taken over' };
  if (table === 'interactions') return { notes: 'taken over' };
  return { name: 'taken over' };
}

describe('create, change, delete', () => {
  test('a created row is answered as GET shows it, byte for byte, with its place', async () => {
    const created = await api.ask(one, 'POST', '/api/leads', {
      body: {
        title: 'New',
        contact_id: one.contactIds[0],
        value: 12.5,
        custom_fields: { updated_at: 'a trap' },
      },
    });
    expect(created.status).toBe(201);
    expect(created.headers['clarin-commit']).toMatch(/^[0-9A-F]+\/[0-9A-F]+$/);
    const read = await api.ask(one, 'GET', created.headers['location'] ?? '');
    expect(read.text).toBe(created.text);
    expect(read.headers['etag']).toBe(created.headers['etag']);
    expect(read.headers['etag']).toContain(created.body.data.updated_at);
    expect(created.body.data).toMatchObject({ title: 'New', stage: { type: 'active' }, tags: [] });
  });

  test('If-Match refuses a change of a row that has changed since', async () => {
    const path = `/api/leads/${one.leadIds[0]}`;
    const { headers } = await api.ask(one, 'GET', path);
    const seen = headers['etag'] ?? '';
    const first = await api.ask(one, 'PATCH', path, {
      body: { title: 'First' },
      headers: { 'if-match': seen },
    });
    expect(first.status).toBe(200);
    const second = await api.ask(one, 'PATCH', path, {
      body: { title: 'Second' },
      headers: { 'if-match': seen },
    });
    expect(second.status).toBe(412);
    expect(second.body.code).toBe('precondition_failed');
    const third = await api.ask(one, 'PATCH', path, {
      body: { title: 'Third' },
      headers: { 'if-match': first.headers['etag'] ?? '' },
    });
    expect(third.status).toBe(200);
    const malformed = await api.ask(one, 'PATCH', path, {
      body: { title: 'x' },
      headers: { 'if-match': 'x' },
    });
    expect(malformed.status).toBe(400);
  });

  test('an ETag tells apart what shows other rows, though the row itself was not written', async () => {
    const path = `/api/leads/${one.leadIds[1]}`;
    const before = await api.ask(one, 'GET', path);
    await api.ask(one, 'POST', '/api/tags', { body: { name: 'fresh' } }).then(({ body }) =>
      api.ask(one, 'POST', `/api/tags/${body.data.id}/assign`, {
        body: { leads: [one.leadIds[1]] },
      }),
    );
    const after = await api.ask(one, 'GET', path, {
      headers: { 'if-none-match': before.headers['etag'] ?? '' },
    });
    expect(after.status).toBe(200);
    expect(after.body.data.updated_at).toBe(before.body.data.updated_at);
    const patched = await api.ask(one, 'PATCH', path, {
      body: { title: 'still mine' },
      headers: { 'if-match': before.headers['etag'] ?? '' },
    });
    expect(patched.status).toBe(200);
  });

  test('a change that changes nothing writes nothing', async () => {
    const path = `/api/tags/${one.tagIds[0]}`;
    const before = await api.ask(one, 'GET', path);
    const after = await api.ask(one, 'PATCH', path, { body: { name: before.body.data.name } });
    expect(after.body.data.updated_at).toBe(before.body.data.updated_at);
  });

  test('a reference to another account is a row that is not there', async () => {
    const foreign = [
      { title: 'x', contact_id: two.contactIds[0] },
      { title: 'x', contact_id: one.contactIds[0], stage_id: two.stages.won },
      { title: 'x', contact_id: one.contactIds[0], assigned_to: two.userId },
    ];
    for (const body of foreign) {
      const answer = await api.ask(one, 'POST', '/api/leads', { body });
      expect(answer.status).toBe(422);
      expect(answer.body.code).toBe('unprocessable');
    }
  });

  test('a name that is taken is a conflict', async () => {
    await api.ask(one, 'POST', '/api/tags', { body: { name: 'Twice' } });
    const again = await api.ask(one, 'POST', '/api/tags', { body: { name: 'twice' } });
    expect(again.status).toBe(409);
    expect(again.body.code).toBe('conflict');
  });

  test('a deleted row is answered as it was and is gone', async () => {
    const { body } = await api.ask(one, 'POST', '/api/tags', { body: { name: 'short-lived' } });
    const deleted = await api.ask(one, 'DELETE', `/api/tags/${body.data.id}`);
    expect(deleted.status).toBe(200);
    expect(deleted.body.data.name).toBe('short-lived');
    expect((await api.ask(one, 'GET', `/api/tags/${body.data.id}`)).status).toBe(404);
    expect((await api.ask(one, 'DELETE', `/api/tags/${body.data.id}`)).status).toBe(404);
  });
});
