import { beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { sql } from '../../platform/sql.ts';
import { startTestApi, type Caller, type TestApi } from './support.ts';

let api: TestApi;
let one: Caller;
let two: Caller;
let id: number;

beforeAll(async () => {
  api = await startTestApi();
  one = await api.account('one');
  two = await api.account('two');
});

beforeEach(async () => {
  const created = await api.ask(one, 'POST', '/api/leads', {
    body: { title: 'A lead', contact_id: one.contactIds[0] },
  });
  id = created.body.data.id;
});

const step = (name: string, body?: object, lead = id) =>
  api.ask(one, 'POST', `/api/leads/${lead}/${name}`, { body });
const get = (lead = id) => api.ask(one, 'GET', `/api/leads/${lead}`);

describe('one lead', () => {
  test('moves to a stage, its status with it', async () => {
    const moved = await step('stage', { stage_id: one.stages.won, position: 3.5 });
    expect(moved.status).toBe(200);
    expect(moved.body.data).toMatchObject({
      stage_id: one.stages.won,
      status: 'won',
      position: 3.5,
      stage: { type: 'won' },
    });
    expect((await get()).text).toBe(moved.text);
    const back = await step('stage', { stage_id: one.stages.active[0] });
    expect(back.body.data).toMatchObject({ status: 'open' });
    expect(back.body.data.closed_at).toBeUndefined();
  });

  test('has a position that a list can go on behind, however small or large', async () => {
    const at = (position: number) =>
      step('stage', { stage_id: one.stages.active[0], position }, one.leadIds[1]);
    expect((await at(1e200)).status).toBe(400);
    expect((await at(-1e-200)).status).toBe(200);
    const list = '/api/leads?sort=position&order=asc&limit=1';
    const first = await api.ask(one, 'GET', list);
    expect(first.body.data[0].id).toBe(one.leadIds[1]);
    const next = await api.ask(one, 'GET', `${list}&cursor=${first.body.next_cursor}`);
    expect(next.status).toBe(200);
    expect(next.body.data[0].id).not.toBe(one.leadIds[1]);
  });

  test('is not closed with a reason that cannot be stored', async () => {
    for (const reason of ['a\0', 'a\ud800'])
      expect((await step('lost', { reason })).status).toBe(400);
  });

  test('does not move to a stage of elsewhere', async () => {
    expect((await step('stage', { stage_id: two.stages.won })).status).toBe(422);
    expect((await step('stage', { stage_id: one.stages.won }, two.leadIds[0])).status).toBe(404);
  });

  test('is won or lost, with a reason', async () => {
    const lost = await step('lost', { reason: 'too dear' });
    expect(lost.body.data).toMatchObject({
      status: 'lost',
      close_reason: 'too dear',
      stage_id: one.stages.lost,
    });
    const won = await step('won');
    expect(won.body.data).toMatchObject({ status: 'won', stage_id: one.stages.won });
    expect((await step('won', {}, two.leadIds[0])).status).toBe(404);
  });

  test('goes to the archive and comes back; twice is once', async () => {
    const first = await step('archive');
    const again = await step('archive', {});
    expect(first.body.data.archived_at).toBeDefined();
    expect(again.text).toBe(first.text);
    const listed = await api.ask(one, 'GET', '/api/leads?limit=200');
    expect(listed.body.data.map((lead: { id: number }) => lead.id)).not.toContain(id);
    expect((await step('unarchive')).body.data.archived_at).toBeUndefined();
  });

  test('goes to the trash, comes back, or is removed for good', async () => {
    const trashed = await api.ask(one, 'DELETE', `/api/leads/${id}`);
    expect(trashed.body.data.deleted_at).toBeDefined();
    const listed = async (query: string): Promise<number[]> => {
      const { body } = await api.ask(one, 'GET', `/api/leads?limit=200${query}`);
      return body.data.map((lead: { id: number }) => lead.id);
    };
    expect(await listed('')).not.toContain(id);
    expect(await listed('&trash=true')).toContain(id);
    expect((await step('restore')).body.data.deleted_at).toBeUndefined();
    expect(await listed('')).toContain(id);
    const removed = await api.ask(one, 'DELETE', `/api/leads/${id}?permanent=true`);
    expect(removed.status).toBe(200);
    expect((await get()).status).toBe(404);
    expect((await api.ask(one, 'DELETE', `/api/leads/${id}`)).status).toBe(404);
  });

  test('is in the trash whether it was archived before or not', async () => {
    await step('archive');
    await api.ask(one, 'DELETE', `/api/leads/${id}`);
    const isListed = async (query: string): Promise<boolean> => {
      const { status, body } = await api.ask(one, 'GET', `/api/leads?limit=200&${query}`);
      expect(status).toBe(200);
      return body.data.some((lead: { id: number }) => lead.id === id);
    };
    expect(await isListed('trash=true')).toBe(true);
    expect(await isListed('trash=true&archived=true')).toBe(true);
    expect(await isListed('trash=true&archived=false')).toBe(false);
    expect(await isListed('archived=true')).toBe(false);
    await step('unarchive');
    expect(await isListed('trash=true')).toBe(true);
    expect(await isListed('trash=true&archived=true')).toBe(false);
  });

  test('is not moved by who has seen an older one', async () => {
    const { headers } = await get();
    await step('stage', { stage_id: one.stages.active[1] });
    const late = await api.ask(one, 'POST', `/api/leads/${id}/won`, {
      headers: { 'if-match': headers['etag'] ?? '' },
    });
    expect(late.status).toBe(412);
    const trash = await api.ask(one, 'DELETE', `/api/leads/${id}`, {
      headers: { 'if-match': headers['etag'] ?? '' },
    });
    expect(trash.status).toBe(412);
  });
});

describe('the board', () => {
  test('shows the first leads of each stage with counts, of the default pipeline when none is named', async () => {
    const board = await api.ask(one, 'GET', '/api/leads/board?limit=2');
    expect(board.status).toBe(200);
    expect(board.body.data.pipeline_id).toBe(one.pipelineId);
    expect(board.body.data.stages).toHaveLength(6);
    for (const stage of board.body.data.stages) expect(stage.leads.length).toBeLessThanOrEqual(2);
    const named = await api.ask(
      one,
      'GET',
      `/api/leads/board?limit=2&pipeline_id=${one.pipelineId}`,
    );
    expect(named.text).toBe(board.text);
    expect(
      (await api.ask(one, 'GET', `/api/leads/board?pipeline_id=${two.pipelineId}`)).status,
    ).toBe(404);
    expect((await api.ask(one, 'GET', '/api/leads/board?limit=1000')).status).toBe(400);
  });
});

describe('bulk', () => {
  const bulk = (body: object, caller = one) => api.ask(caller, 'POST', '/api/leads/bulk', { body });
  const readLeads = (ids: readonly number[]) =>
    api.owner.query(sql`
      select id, stage_id, status, assigned_to, archived_at, deleted_at
      from public.leads where id = any(${[...ids]}::bigint[]) order by id`);

  test('changes many by one statement, counts, and leaves what is so already', async () => {
    const ids = [...one.leadIds, two.leadIds[0] ?? 0];
    api.statements.length = 0;
    const staged = await bulk({ action: 'stage', ids, stage_id: one.stages.won });
    expect(staged.body.data.matched).toBe(12);
    expect(staged.body.data.changed).toBe(10);
    expect(api.statements.filter((text) => text.includes('public.leads as lead'))).toHaveLength(1);
    expect((await bulk({ action: 'stage', ids, stage_id: one.stages.won })).body.data.changed).toBe(
      0,
    );
    expect((await readLeads(one.leadIds)).every((lead) => lead['status'] === 'won')).toBe(true);
    expect((await readLeads([two.leadIds[0] ?? 0]))[0]?.['stage_id']).not.toBe(
      String(one.stages.won),
    );
  });

  test('does every action it offers', async () => {
    const ids = one.leadIds.slice(0, 3);
    const actions: [object, (lead: Record<string, string | null>) => boolean][] = [
      [
        { action: 'assign', assigned_to: one.userId },
        (lead) => lead['assigned_to'] === String(one.userId),
      ],
      [{ action: 'assign', assigned_to: null }, (lead) => lead['assigned_to'] === null],
      [{ action: 'archive' }, (lead) => lead['archived_at'] !== null],
      [{ action: 'unarchive' }, (lead) => lead['archived_at'] === null],
      [{ action: 'delete' }, (lead) => lead['deleted_at'] !== null],
      [{ action: 'restore' }, (lead) => lead['deleted_at'] === null],
    ];
    for (const [action, isDone] of actions) {
      const answer = await bulk({ ...action, ids });
      expect({ action, status: answer.status }).toEqual({ action, status: 200 });
      expect((await readLeads(ids)).every(isDone)).toBe(true);
    }
    expect((await bulk({ action: 'untag', ids, tag_ids: one.tagIds })).status).toBe(200);
    expect((await bulk({ action: 'tag', ids, tag_ids: one.tagIds.slice(0, 2) })).body.data).toEqual(
      { matched: 3, changed: 6 },
    );
    expect(
      (await bulk({ action: 'tag', ids, tag_ids: one.tagIds.slice(0, 2) })).body.data.changed,
    ).toBe(0);
    expect(
      (await bulk({ action: 'untag', ids, tag_ids: one.tagIds.slice(0, 1) })).body.data.changed,
    ).toBe(3);
    const gone = [id];
    expect((await bulk({ action: 'remove', ids: gone })).body.data).toEqual({
      matched: 1,
      changed: 1,
    });
    expect(await readLeads(gone)).toHaveLength(0);
  });

  test('refuses stages, members and tags of elsewhere, whole', async () => {
    const ids = one.leadIds.slice(0, 2);
    for (const body of [
      { action: 'stage', ids, stage_id: two.stages.won },
      { action: 'assign', ids, assigned_to: two.userId },
      { action: 'tag', ids, tag_ids: [one.tagIds[0], two.tagIds[0]] },
    ]) {
      expect({ body, status: (await bulk(body)).status }).toEqual({ body, status: 422 });
    }
    expect((await bulk({ action: 'archive', ids: [] })).status).toBe(400);
    expect(
      (await bulk({ action: 'archive', ids: Array.from({ length: 10_001 }, (_, n) => n + 1) }))
        .status,
    ).toBe(400);
    expect((await bulk({ action: 'explode', ids })).status).toBe(400);
  });

  test('takes ten thousand ids', async () => {
    const ids = Array.from({ length: 10_000 }, (_, n) => n + 1_000_000);
    expect((await bulk({ action: 'archive', ids })).body.data).toEqual({ matched: 0, changed: 0 });
  });
});

describe('tags', () => {
  const tag = (verb: string, body: object, tagId = one.tagIds[3]) =>
    api.ask(one, 'POST', `/api/tags/${tagId}/${verb}`, { body });

  test('are put on leads and contacts and taken away, one statement each', async () => {
    const body = { leads: [id, two.leadIds[0]], contacts: one.contactIds.slice(1, 3) };
    await tag('remove', body);
    api.statements.length = 0;
    expect((await tag('assign', body)).body.data).toEqual({ matched: 3, changed: 3 });
    expect(api.statements.filter((text) => text.includes('lead_tags'))).toHaveLength(1);
    expect((await tag('assign', body)).body.data).toEqual({ matched: 3, changed: 0 });
    expect((await get()).body.data.tags).toMatchObject([{ id: one.tagIds[3] }]);
    expect((await tag('remove', body)).body.data).toEqual({ matched: 3, changed: 3 });
    expect((await get()).body.data.tags).toEqual([]);
  });

  test('of elsewhere are not there', async () => {
    expect((await tag('assign', { leads: [id] }, two.tagIds[0])).status).toBe(404);
    expect((await tag('remove', { leads: [id] }, two.tagIds[0])).status).toBe(404);
    expect((await tag('assign', {})).status).toBe(400);
  });

  test('need the permission for what they are put on', async () => {
    const caller = { token: await api.tokenOf(one, ['tags', 'contacts']) };
    const path = `/api/tags/${one.tagIds[0]}/assign`;
    expect((await api.ask(caller, 'POST', path, { body: { leads: [id] } })).status).toBe(403);
    expect(
      (await api.ask(caller, 'POST', path, { body: { contacts: [one.contactIds[0]] } })).status,
    ).toBe(200);
  });
});
