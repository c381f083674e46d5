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

type Stage = { id: number; name: string; type: string; position: number; color: string };

describe('pipelines', () => {
  async function createPipeline(name: string): Promise<{ id: number; stages: Stage[] }> {
    const created = await api.ask(one, 'POST', '/api/pipelines', { body: { name } });
    expect(created.status).toBe(201);
    return created.body.data;
  }
  const save = (id: number, body: object) =>
    api.ask(one, 'PUT', `/api/pipelines/${id}/stages`, { body });

  test('begin with a won and a lost stage', async () => {
    const { stages } = await createPipeline('Begins');
    expect(stages.map(({ type }) => type).toSorted()).toEqual(['lost', 'won']);
  });

  test('save the whole layout at once, in five statements or fewer', async () => {
    const { id, stages } = await createPipeline('Layout');
    const first = await save(id, {
      stages: [
        { name: 'A' },
        { name: 'B', color: '#112233' },
        { name: 'C' },
        ...stages.map((stage) => ({ id: stage.id, name: stage.name })),
      ],
    });
    expect(first.status).toBe(200);
    const [a, b, c, won, lost] = first.body.data.stages as Stage[];
    expect([a, b, c, won, lost].map((stage) => stage?.position)).toEqual([0, 1, 2, 3, 4]);
    api.statements.length = 0;
    const second = await save(id, {
      stages: [
        { id: c?.id, name: 'C first' },
        { id: a?.id, name: 'A' },
        { name: 'D' },
        { id: lost?.id, name: 'Lost' },
        { id: won?.id, name: 'Won' },
      ],
    });
    expect(second.body.data.stages.map((stage: Stage) => stage.name)).toEqual([
      'C first',
      'A',
      'D',
      'Lost',
      'Won',
    ]);
    expect(api.statements.filter((text) => /^\s*(insert|update|delete)/.test(text))).toHaveLength(
      3,
    );
    const read = await api.ask(one, 'GET', `/api/pipelines/${id}`);
    expect(read.text).toBe(second.text);
  });

  test('take one more stage behind a saved layout, before won and lost', async () => {
    const { id, stages } = await createPipeline('One more');
    const ends = stages.map((stage) => ({ id: stage.id, name: stage.name }));
    await save(id, { stages: [{ name: 'A' }, { name: 'B' }, ...ends] });
    for (const name of ['C', 'D']) {
      const body = { pipeline_id: id, name };
      expect((await api.ask(one, 'POST', '/api/pipeline_stages', { body })).status).toBe(201);
    }
    const read = await api.ask(one, 'GET', `/api/pipelines/${id}`);
    const names = read.body.data.stages.map((stage: Stage) => stage.name);
    expect(names).toEqual(['A', 'B', 'C', 'D', ...ends.map((end) => end.name)]);
  });

  test('always have a default one among them', async () => {
    const alone = await api.account('alone');
    const first = `/api/pipelines/${alone.pipelineId}`;
    const undo = await api.ask(alone, 'PATCH', first, { body: { is_default: false } });
    expect(undo.status).toBe(422);
    const other = await api.ask(alone, 'POST', '/api/pipelines', {
      body: { name: 'Other', is_default: true },
    });
    expect(other.status).toBe(201);
    expect((await api.ask(alone, 'GET', first)).body.data.is_default).toBe(false);
    expect((await api.ask(alone, 'DELETE', other.headers['location'] ?? '')).status).toBe(422);
    const board = await api.ask(alone, 'GET', '/api/leads/board');
    expect(board.body.data.pipeline_id).toBe(other.body.data.id);
  });

  test('leads of a removed stage must be told where to go', async () => {
    const { id, stages } = await createPipeline('Leads');
    const ends = stages.map((stage) => ({ id: stage.id, name: stage.name }));
    const made = await save(id, { stages: [{ name: 'A' }, { name: 'B' }, ...ends] });
    const [a, b] = made.body.data.stages as Stage[];
    const lead = await api.ask(one, 'POST', '/api/leads', {
      body: { title: 'x', contact_id: one.contactIds[0], stage_id: a?.id },
    });
    const lost = await save(id, { stages: [{ id: b?.id, name: 'B' }, ...ends] });
    expect(lost.status).toBe(409);
    expect(lost.body.details.stages).toEqual([{ id: a?.id, leads: 1 }]);
    const moved = await save(id, {
      stages: [{ id: b?.id, name: 'B' }, ...ends],
      reassign: [{ from: a?.id, to: b?.id }],
    });
    expect(moved.status).toBe(200);
    const read = await api.ask(one, 'GET', `/api/leads/${lead.body.data.id}`);
    expect(read.body.data.stage_id).toBe(b?.id);
  });

  test('keep one won and one lost stage, and take no stage of elsewhere', async () => {
    const { id, stages } = await createPipeline('Ends');
    const [first, second] = stages;
    expect((await save(id, { stages: [{ name: 'A' }, { id: first?.id, name: 'x' }] })).status).toBe(
      422,
    );
    expect(
      (
        await save(id, {
          stages: [
            { id: first?.id, name: 'x' },
            { id: second?.id, name: 'y' },
            { id: two.stages.won, name: 'z' },
          ],
        })
      ).status,
    ).toBe(422);
    expect(
      (
        await save(id, {
          stages: [
            { id: first?.id, name: 'x' },
            { id: first?.id, name: 'y' },
          ],
        })
      ).status,
    ).toBe(400);
    expect((await save(two.pipelineId, { stages: [{ name: 'A' }, { name: 'B' }] })).status).toBe(
      404,
    );
  });
});

describe('contacts', () => {
  test('say who set do-not-contact', async () => {
    const path = `/api/contacts/${one.contactIds[0]}`;
    const set = await api.ask(one, 'PATCH', path, {
      body: { do_not_contact: true, do_not_contact_reason: 'asked us' },
    });
    expect(set.body.data).toMatchObject({
      do_not_contact_by: one.userId,
      do_not_contact_reason: 'asked us',
    });
    expect(set.body.data.do_not_contact_at).toBeDefined();
    const cleared = await api.ask(one, 'PATCH', path, { body: { do_not_contact: false } });
    expect(cleared.body.data.do_not_contact_by).toBeUndefined();
  });

  test('are deleted with their leads only when asked to', async () => {
    const contact = await api.ask(one, 'POST', '/api/contacts', { body: { name: 'Leaves' } });
    const id = contact.body.data.id;
    const lead = await api.ask(one, 'POST', '/api/leads', { body: { title: 'x', contact_id: id } });
    const refused = await api.ask(one, 'DELETE', `/api/contacts/${id}`);
    expect(refused.status).toBe(409);
    expect(refused.body.details).toEqual({ leads: 1 });
    const narrow = { token: await api.tokenOf(one, ['contacts']) };
    expect((await api.ask(narrow, 'DELETE', `/api/contacts/${id}?with_leads=true`)).status).toBe(
      403,
    );
    const deleted = await api.ask(one, 'DELETE', `/api/contacts/${id}?with_leads=true`);
    expect(deleted.status).toBe(200);
    expect((await api.ask(one, 'GET', `/api/leads/${lead.body.data.id}`)).status).toBe(404);
    expect((await api.ask(one, 'DELETE', `/api/contacts/${id}`)).status).toBe(404);
  });
});
