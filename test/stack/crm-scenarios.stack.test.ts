import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { ENTITIES } from '../../domain/registry.ts';
import type { Database } from '../../platform/postgres.ts';
import { receiveMessage } from '../../server/commands/receive-message.ts';
import { eventually } from '../support/services.ts';
import { openTruth, startModel, untilEqual } from './support/compare.ts';
import type { ModelClient } from './support/model-client.ts';
import { addLeads, startStack, type Stack, type TestAccount } from './support/stack.ts';

type Row = { id: number; [name: string]: unknown };

/**
 * A day at the desk: one agent works, a second page watches everything through the feed alone. At the end of each scene it
 * shows exactly what a fresh read shows.
 */
describe('a second page that only listens', () => {
  let stack: Stack;
  let truth: Database;
  let agent: TestAccount;
  let colleague: TestAccount;
  let page: ModelClient;

  const tables = ENTITIES.filter(({ scope }) => scope !== 'global').map(({ table }) => ({ table }));

  beforeAll(async () => {
    stack = await startStack();
    truth = openTruth(stack);
    agent = stack.accounts[0];
    colleague = await hire('colleague', 'Agent');
  });
  afterAll(async () => {
    await truth.close();
    await stack.close();
  });
  beforeEach(async () => {
    page = await startModel(stack, truth, agent, tables);
  });
  afterEach(async () => {
    await untilEqual(page, truth, agent.id);
    page.close();
    expect(page.faults).toEqual([]);
    expect(page.resyncs).toEqual([]);
  });

  /** One more member of the account, by the API, who logs in. */
  async function hire(username: string, role: string): Promise<TestAccount> {
    const roles = await rows('GET /api/roles');
    const roleId = roles.find(({ name }) => name === role)?.id;
    const password = 'another long password';
    const made = await stack.request(agent, 'POST /api/users', {
      username,
      password,
      display_name: username,
      role_id: roleId,
    });
    expect(made.status).toBe(201);
    const { json } = await stack.request(agent, 'POST /api/auth/login', { username, password });
    const { id } = made.json['data'] as Row;
    return { id: agent.id, userId: id, username, token: String(json['token']) };
  }

  async function rows(route: string, who = agent): Promise<Row[]> {
    const answer = await stack.request(who, route);
    expect(answer.status).toBe(200);
    return answer.json['data'] as Row[];
  }

  async function done(route: string, body?: unknown, who = agent): Promise<Row> {
    const answer = await stack.request(who, route, body);
    expect({ route, status: answer.status, text: answer.text.slice(0, 300) }).toMatchObject({
      status: expect.toSatisfy((status: number) => status < 300) as number,
    });
    return answer.json['data'] as Row;
  }

  async function newContact(name: string, phone: string): Promise<number> {
    return (await done('POST /api/contacts', { name, phone })).id;
  }

  async function stages(): Promise<Row[]> {
    return (await rows('GET /api/pipeline_stages?limit=200')).toSorted(
      (left, right) => Number(left['position']) - Number(right['position']),
    );
  }

  it('sees two agents on one board', async () => {
    const leads = await addLeads(stack, agent, 6);
    const [first, second] = await stages();
    const moves = leads.map((id, index) =>
      done(
        `POST /api/leads/${id}/stage`,
        { stage_id: (index % 2 ? first : second)?.id, position: index },
        index % 2 ? agent : colleague,
      ),
    );
    await Promise.all(moves);
    // Both at the same card, at the same time: the last one wins, and both see the same.
    await Promise.all([
      done(`POST /api/leads/${leads[0]}/stage`, { stage_id: first?.id, position: 9 }),
      done(`POST /api/leads/${leads[0]}/stage`, { stage_id: second?.id, position: 9 }, colleague),
    ]);
    await done(`POST /api/leads/${leads[1]}/won`, { reason: 'Signed' }, colleague);
    await untilEqual(page, truth, agent.id);
    expect(page.row('leads', leads[1] ?? 0)).toMatchObject({ status: 'won' });
    const board = await stack.request(colleague, 'GET /api/leads/board');
    expect(board.text).toContain(`"id":${leads[0]},`);
  });

  it('sees a tag assigned and renamed, and stages reordered', async () => {
    const leads = await addLeads(stack, agent, 3);
    const tag = await done('POST /api/tags', { name: 'Hot' });
    await done(`POST /api/tags/${tag.id}/assign`, { leads });
    await done(`PATCH /api/tags/${tag.id}`, { name: 'Very hot' });
    const [pipeline] = await rows('GET /api/pipelines');
    const layout = await stages();
    const active = layout.filter(({ type }) => type === 'active').toReversed();
    const ends = layout.filter(({ type }) => type !== 'active');
    await done(`PUT /api/pipelines/${pipeline?.id}/stages`, {
      stages: [...active, ...ends].map(({ id, name }) => ({ id, name })),
      reassign: [],
    });
    await untilEqual(page, truth, agent.id);
    expect(page.row('tags', tag.id)).toMatchObject({ name: 'Very hot' });
    expect(page.row('pipeline_stages', active[0]?.id ?? 0)).toMatchObject({ position: 0 });
    const listed = await rows(`GET /api/leads?tag_ids=${tag.id}`);
    expect(new Set(listed.map(({ id }) => id))).toEqual(new Set(leads));
    expect(JSON.stringify(listed)).toContain('Very hot');
  });

  it('sees two contacts merged, with their chats and leads', async () => {
    const device = await done('POST /api/devices', { name: 'Shop' });
    const winner = await newContact('Ana', '51987000001');
    const loser = await newContact('Ana Q.', '51987000002');
    const chat = await done('POST /api/chats', { device_id: device.id, contact_id: loser });
    const lead = await done('POST /api/leads', { contact_id: loser, title: 'Of the loser' });
    await done(`POST /api/chats/${chat.id}/messages`, { kind: 'text', body: 'Hello' });
    const merged = await stack.request(agent, `POST /api/contacts/${winner}/merge`, {
      contact_ids: [loser],
    });
    expect(merged.status).toBe(200);
    await untilEqual(page, truth, agent.id);
    expect(page.row('contacts', loser)).toBeUndefined();
    expect(page.row('chats', chat.id)).toMatchObject({ contact_id: winner });
    expect(page.row('leads', lead.id)).toMatchObject({ contact_id: winner });
    const identities = [...(page.tables.get('contact_identities')?.values() ?? [])];
    const ours = identities.filter((one) => one['contact_id'] === winner);
    expect(ours.map((one) => one['value'])).toContain('51987000002');
  });

  it('sees an inbound message of an unknown number: contact, chat, message and lead in one commit', async () => {
    const device = await done('POST /api/devices', { name: 'Reception' });
    const before = page.commits.length;
    await truth.transaction(
      (tx) =>
        receiveMessage(tx, {
          accountId: agent.id,
          deviceId: device.id,
          jid: '51911222333@s.whatsapp.net',
          messageId: 'UNKNOWN1',
          sentAt: new Date().toISOString(),
          isFromMe: false,
          fromName: 'Somebody new',
          content: { kind: 'text', text: 'Do you deliver?' },
        }),
      { origin: { source: 'whatsapp' } },
    );
    const commit = await eventually(() =>
      page.commits
        .slice(before)
        .find(({ changes }) => changes.some(({ table }) => table === 'messages')),
    );
    const touched = new Set(commit.changes.map(({ table }) => table));
    for (const table of ['contacts', 'contact_identities', 'chats', 'messages', 'leads'])
      expect(touched).toContain(table);
    expect(commit.origin).toMatchObject({ source: 'whatsapp' });
    const [chat] = await rows(`GET /api/chats?device_id=${device.id}`);
    expect(chat).toMatchObject({ unread_count: 1, last_message: 'Do you deliver?' });
    await done(`POST /api/chats/${chat?.id}/read`);
    await untilEqual(page, truth, agent.id);
    expect(page.row('chats', chat?.id ?? 0)).toMatchObject({ unread_count: 0 });
  });

  it('sees a device deleted, and what was said through it stays', async () => {
    const device = await done('POST /api/devices', { name: 'Old phone' });
    const contact = await newContact('Bruno', '51987000003');
    const chat = await done('POST /api/chats', { device_id: device.id, contact_id: contact });
    const sent = await done(`POST /api/chats/${chat.id}/messages`, { kind: 'text', body: 'Bye' });
    await done(`DELETE /api/devices/${device.id}`);
    await untilEqual(page, truth, agent.id);
    expect(page.row('devices', device.id)).toBeUndefined();
    expect(page.row('chats', chat.id)).not.toHaveProperty('device_id');
    expect(page.row('messages', sent.id)).toMatchObject({ body: 'Bye' });
  });
});
