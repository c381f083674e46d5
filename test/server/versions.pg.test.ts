import { beforeAll, describe, expect, test } from 'vitest';
import { sql } from '../../platform/sql.ts';
import { startTestApi, type Caller, type TestApi } from './support.ts';

let api: TestApi;
let one: Caller;

beforeAll(async () => {
  api = await startTestApi();
  one = await api.account('one');
});

const etagOf = async (path: string): Promise<string> =>
  (await api.ask(one, 'GET', path)).headers['etag'] ?? '';
const paths = () => [
  `/api/leads/${one.leadIds[0]}`,
  `/api/tags/${one.tagIds[0]}`,
  `/api/pipelines/${one.pipelineId}`,
  `/api/users/${one.userId}`,
  '/api/account',
];

describe('If-Match', () => {
  const change = (path: string, etag: string) =>
    api.ask(one, 'PATCH', path, { body: bodyOf(path), headers: { 'if-match': etag } });
  const bodyOf = (path: string): object => {
    if (path.includes('leads')) return { title: 'Changed' };
    return path.includes('users') ? { display_name: 'Changed' } : { name: 'Changed' };
  };

  test("compares strongly: a weak ETag is nobody's, and refused like an old one", async () => {
    for (const path of paths()) {
      const etag = await etagOf(path);
      const weak = await change(path, `W/${etag}`);
      expect({ path, status: weak.status }).toEqual({ path, status: 412 });
      expect(weak.body.code).toBe('precondition_failed');
      expect((await change(path, 'x')).status).toBe(400);
      expect((await change(path, etag)).status).toBe(200);
    }
    const path = `/api/tags/${one.tagIds[1]}`;
    const deleted = await api.ask(one, 'DELETE', path, {
      headers: { 'if-match': `W/${await etagOf(path)}` },
    });
    expect(deleted.status).toBe(412);
  });

  test('of a layout of stages is about the stages too, whoever changed them', async () => {
    const created = await api.ask(one, 'POST', '/api/pipelines', { body: { name: 'Layout' } });
    const path = created.headers['location'] ?? '';
    const stages = (created.body.data.stages as { id: number; name: string }[]).map(
      ({ id, name }) => ({ id, name }),
    );
    const save = (etag: string, name: string) =>
      api.ask(one, 'PUT', `${path}/stages`, {
        body: { stages: [...stages.slice(0, 1), { ...stages[1], name }] },
        headers: { 'if-match': etag },
      });
    const seen = created.headers['etag'] ?? '';
    expect((await save(`W/${seen}`, 'Weak')).status).toBe(412);
    const first = await save(seen, 'First');
    expect(first.status).toBe(200);
    const late = await save(seen, 'Late');
    expect(late.status).toBe(412);
    expect(late.body.code).toBe('precondition_failed');
    const second = await save(first.headers['etag'] ?? '', 'Second');
    expect(second.status).toBe(200);
    await api.owner.query(
      sql`update public.pipeline_stages set color = '#010203' where id = ${stages[0]?.id}`,
    );
    expect((await save(second.headers['etag'] ?? '', 'Third')).status).toBe(412);
    expect((await save(await etagOf(path), 'Third')).status).toBe(200);
    expect((await save('*', 'Fourth')).status).toBe(200);
    expect((await save('x', 'Fifth')).status).toBe(400);
  });
});

describe('If-None-Match', () => {
  test('compares weakly: who holds these bytes is not sent them again', async () => {
    for (const path of paths()) {
      const etag = await etagOf(path);
      for (const held of [etag, `W/${etag}`, `"x", W/${etag}`, '*']) {
        const again = await api.ask(one, 'GET', path, { headers: { 'if-none-match': held } });
        expect({ path, held, status: again.status }).toEqual({ path, held, status: 304 });
        expect(again.text).toBe('');
      }
      const other = await api.ask(one, 'GET', path, { headers: { 'if-none-match': 'W/"x"' } });
      expect(other.status).toBe(200);
    }
  });

  test('tells apart what is shown to some only, and a role from another', async () => {
    const narrow = { token: await api.tokenOf(one, ['leads']) };
    const held = await etagOf('/api/account');
    const less = await api.ask(narrow, 'GET', '/api/account', {
      headers: { 'if-none-match': held },
    });
    expect(less.status).toBe(200);
    const { user } = (await api.ask(narrow, 'GET', '/api/auth/me')).body.data;
    const path = `/api/users/${user.id}`;
    const before = await etagOf(path);
    const [role] = (await api.ask(one, 'GET', '/api/roles?search=Agent')).body.data;
    await api.ask(one, 'PATCH', path, { body: { role_id: role.id } });
    const after = await api.ask(one, 'GET', path, { headers: { 'if-none-match': before } });
    expect(after.status).toBe(200);
    expect(after.body.data.role_id).toBe(role.id);
  });
});
