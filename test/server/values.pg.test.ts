import { beforeAll, describe, expect, test } from 'vitest';
import { startTestApi, type Answer, type Caller, type TestApi } from './support.ts';

let api: TestApi;
let one: Caller;

beforeAll(async () => {
  api = await startTestApi();
  one = await api.account('one');
});

const post = (path: string, body: object): Promise<Answer> => api.ask(one, 'POST', path, { body });
const patch = (path: string, body: object): Promise<Answer> =>
  api.ask(one, 'PATCH', path, { body });
const fieldsOf = ({ status, body }: Answer) => ({
  status,
  fields: body.details?.fields.map(({ field }: { field: string }) => field),
});

test('ids are digits and nothing else that JavaScript takes for a number', async () => {
  const [id = 0] = one.leadIds;
  const hex = `0x${id.toString(16)}`;
  for (const text of [
    hex,
    `${id}e0`,
    `+${id}`,
    `%20${id}`,
    `${id}.0`,
    `0${id}`,
    '0',
    '-1',
    '9007199254740992',
  ]) {
    for (const [method, step] of [
      ['GET', ''],
      ['DELETE', ''],
      ['POST', '/archive'],
    ] as const) {
      const answer = await api.ask(one, method, `/api/leads/${text}${step}`);
      expect({ text, method, status: answer.status }).toEqual({ text, method, status: 400 });
    }
  }
  expect((await api.ask(one, 'GET', `/api/leads/${id}`)).status).toBe(200);
  expect((await api.ask(one, 'GET', `/api/leads/${Number.MAX_SAFE_INTEGER}`)).status).toBe(404);
});

test('moments whose year in UTC has no four digits are refused: no cursor could name them', async () => {
  const note = (occurred_at: string) =>
    post('/api/interactions', { kind: 'note', contact_id: one.contactIds[0], occurred_at });
  for (const moment of [
    '0000-06-01T00:00:00Z',
    '0001-01-01T00:00:00+14:00',
    '9999-12-31T23:59:59-00:01',
  ]) {
    expect({ moment, ...fieldsOf(await note(moment)) }).toEqual({
      moment,
      status: 400,
      fields: ['body.occurred_at'],
    });
  }
  for (const moment of ['0001-01-01T00:00:00Z', '9999-12-31T23:59:59.999999Z'])
    expect((await note(moment)).status).toBe(201);
  const seen: number[] = [];
  for (let cursor = ''; ;) {
    const page = await api.ask(one, 'GET', `/api/interactions?limit=1${cursor}`);
    expect(page.status).toBe(200);
    seen.push(...page.body.data.map(({ id }: { id: number }) => id));
    if (page.body.next_cursor === undefined) break;
    cursor = `&cursor=${page.body.next_cursor}`;
  }
  expect(new Set(seen).size).toBe((await api.ask(one, 'GET', '/api/interactions')).body.total);
});

test('a path id is documented as the whole number it is', async () => {
  const { body } = await api.ask(undefined, 'GET', '/docs/json');
  const [parameter] = body.paths['/api/leads/{id}'].get.parameters;
  expect(parameter).toMatchObject({ name: 'id', in: 'path', required: true });
  expect(parameter.schema).toMatchObject({ type: 'integer' });
});

describe('names', () => {
  test('of tags, pipelines, stages and roles are not blank', async () => {
    for (const name of ['', ' ', '\t\n', '\u00a0\u3000']) {
      for (const answer of [
        await post('/api/tags', { name }),
        await patch(`/api/tags/${one.tagIds[0]}`, { name }),
        await post('/api/pipelines', { name }),
        await post('/api/pipeline_stages', { pipeline_id: one.pipelineId, name }),
        await patch(`/api/pipeline_stages/${one.stages.won}`, { name }),
        await post('/api/roles', { name, permissions: [] }),
      ]) {
        expect(fieldsOf(answer)).toEqual({ status: 400, fields: ['body.name'] });
      }
      const layout = await api.ask(one, 'PUT', `/api/pipelines/${one.pipelineId}/stages`, {
        body: { stages: [{ name }, { name: 'B' }] },
      });
      expect(fieldsOf(layout)).toEqual({ status: 400, fields: ['body.stages.0.name'] });
    }
    expect((await post('/api/tags', { name: ' a ' })).status).toBe(201);
  });

  test('of users are not blank, and an address is one or none', async () => {
    const [role] = (await api.ask(one, 'GET', '/api/roles?search=Agent')).body.data;
    const person = { username: 'u1', display_name: 'U', password: 'long enough', role_id: role.id };
    expect(fieldsOf(await post('/api/users', { ...person, username: ' ' })).fields).toEqual([
      'body.username',
    ]);
    expect(fieldsOf(await post('/api/users', { ...person, email: '' }))).toEqual({
      status: 400,
      fields: ['body.email'],
    });
    const created = await post('/api/users', { ...person, email: null });
    expect(created.status).toBe(201);
    const path = `/api/users/${created.body.data.id}`;
    expect((await patch(path, { email: '' })).status).toBe(400);
    expect((await patch(path, { email: 'u1@example.com' })).status).toBe(200);
    expect((await patch(path, { email: null })).body.data.email).toBeUndefined();
  });
});

describe('a contact', () => {
  test('made with do-not-contact says since when and by whom', async () => {
    const made = await post('/api/contacts', { name: 'Barred', do_not_contact: true });
    expect(made.status).toBe(201);
    expect(made.body.data).toMatchObject({ do_not_contact: true, do_not_contact_by: one.userId });
    expect(made.body.data.do_not_contact_at).toBeDefined();
    const { text } = await api.ask(one, 'GET', made.headers['location'] ?? '');
    expect(text).toBe(made.text);
    const free = await post('/api/contacts', { name: 'Free', do_not_contact: false });
    expect(free.body.data.do_not_contact_by).toBeUndefined();
    expect(free.body.data.do_not_contact_at).toBeUndefined();
  });

  test('has a picture on the web or none', async () => {
    for (const url of [
      '',
      'javascript:alert(1)',
      'data:image/png;base64,AAAA',
      '/me.png',
      'file:///etc/passwd',
      'https://',
    ]) {
      const answer = await post('/api/contacts', { name: 'x', avatar_url: url });
      expect({ url, ...fieldsOf(answer) }).toEqual({
        url,
        status: 400,
        fields: ['body.avatar_url'],
      });
    }
    for (const url of ['https://example.com/a.png?b=c', 'http://example.com', null])
      expect((await post('/api/contacts', { name: 'x', avatar_url: url })).status).toBe(201);
  });
});

test('an account has a time zone and a country that there are, by their shape at least', async () => {
  for (const timezone of ['', 'Lima', 'America/Nowhere', '+05:00', '-05', 'America/Lima ']) {
    const answer = await patch('/api/account', { timezone });
    expect({ timezone, ...fieldsOf(answer) }).toEqual({
      timezone,
      status: 400,
      fields: ['body.timezone'],
    });
  }
  for (const timezone of ['Europe/Madrid', 'UTC', 'America/Lima'])
    expect((await patch('/api/account', { timezone })).body.data.timezone).toBe(timezone);
  expect((await patch('/api/account', { default_country: 'Peru' })).status).toBe(400);
  expect((await patch('/api/account', { default_country: 'MX' })).status).toBe(200);
});
