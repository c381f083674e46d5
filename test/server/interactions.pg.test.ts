import { beforeAll, describe, expect, test } from 'vitest';
import { startTestApi, type Caller, type TestApi } from './support.ts';

let api: TestApi;
let one: Caller;
let two: Caller;

beforeAll(async () => {
  api = await startTestApi();
  one = await api.account('one');
  two = await api.account('two');
});

const write = (body: object, caller: { token: string } = one) =>
  api.ask(caller, 'POST', '/api/interactions', { body });

describe('an interaction', () => {
  test('says who wrote it down, and is read as it was answered', async () => {
    const made = await write({
      kind: 'call',
      contact_id: one.contactIds[0],
      direction: 'outbound',
      outcome: 'no answer',
      next_action: 'call again',
      next_action_at: '2030-01-01T10:00:00Z',
    });
    expect(made.status).toBe(201);
    expect(made.body.data).toMatchObject({ created_by: one.userId, outcome: 'no answer' });
    const read = await api.ask(one, 'GET', made.headers['location'] ?? '');
    expect(read.text).toBe(made.text);
    const forged = await write({ kind: 'note', contact_id: one.contactIds[0], created_by: 1 });
    expect(forged.status).toBe(400);
  });

  test("about a lead is with the lead's contact", async () => {
    const lead = await api.ask(one, 'GET', `/api/leads/${one.leadIds[0]}`);
    const made = await write({ kind: 'note', lead_id: one.leadIds[0], notes: 'Wants two' });
    expect(made.body.data).toMatchObject({
      lead_id: one.leadIds[0],
      contact_id: lead.body.data.contact_id,
    });
  });

  test('is with a contact or about a lead, or the field is named', async () => {
    for (const body of [{ kind: 'note' }, { kind: 'note', lead_id: null }]) {
      const answer = await write(body);
      expect([answer.status, answer.body.details.fields[0].field]).toEqual([
        400,
        'body.contact_id',
      ]);
    }
    expect((await write({ kind: 'smoke', contact_id: one.contactIds[0] })).status).toBe(400);
  });

  test('with a contact or about a lead of elsewhere is refused', async () => {
    expect((await write({ kind: 'note', contact_id: two.contactIds[0] })).status).toBe(422);
    expect((await write({ kind: 'note', lead_id: two.leadIds[0] })).status).toBe(422);
    const both = { contact_id: one.contactIds[0], lead_id: two.leadIds[0] };
    expect((await write({ kind: 'note', ...both })).status).toBe(422);
  });

  test('about a lead needs the permission to see leads', async () => {
    const caller = { token: await api.tokenOf(one, ['contacts']) };
    expect((await write({ kind: 'note', lead_id: one.leadIds[0] }, caller)).status).toBe(403);
    expect((await write({ kind: 'note', contact_id: one.contactIds[0] }, caller)).status).toBe(201);
  });

  test('is changed and deleted like any row', async () => {
    const made = await write({ kind: 'note', contact_id: one.contactIds[0] });
    const path = `/api/interactions/${made.body.data.id}`;
    const changed = await api.ask(one, 'PATCH', path, { body: { outcome: 'done' } });
    expect(changed.body.data).toMatchObject({ outcome: 'done', created_by: one.userId });
    expect((await api.ask(two, 'PATCH', path, { body: { outcome: 'theirs' } })).status).toBe(404);
    expect((await api.ask(one, 'DELETE', path)).status).toBe(200);
    expect((await api.ask(one, 'GET', path)).status).toBe(404);
  });
});
