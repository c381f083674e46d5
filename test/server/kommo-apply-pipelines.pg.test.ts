import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { sql } from '../../platform/sql.ts';
import { applyKommoLeads } from '../../server/commands/apply-kommo-leads.ts';
import type { KommoScope } from '../../server/commands/apply-kommo-looks.ts';
import { applyKommoPipelines } from '../../server/commands/apply-kommo-pipelines.ts';
import type { KommoPipeline } from '../../server/kommo/documents.ts';
import { leadDocument, pipelineDocument, T } from './kommo-apply-documents.ts';
import { openApplyWorld, type ApplyWorld } from './kommo-apply-world.ts';

let world: ApplyWorld;

beforeAll(async () => {
  world = await openApplyWorld();
});

afterAll(() => world.close());

const apply = (scope: KommoScope, ...pipelines: KommoPipeline[]) =>
  world.run((tx) => applyKommoPipelines(tx, scope, pipelines));
const follow = (scope: KommoScope) =>
  world.db.query(sql`
    update public.kommo_pipelines set is_connected = true where connection_id = ${scope.connectionId}`);
const listed = (scope: KommoScope) =>
  world.all(sql`
    select kommo_id, name, is_connected, pipeline_id is not null as is_ours
    from public.kommo_pipelines where connection_id = ${scope.connectionId} order by kommo_id`);
const stagesOf = (pipeline: number) =>
  world.all(sql`
    select stage.kommo_id, stage.name, stage.color, stage.type, stage.position
    from public.pipeline_stages as stage
    join public.pipelines as pipeline on pipeline.id = stage.pipeline_id
    where pipeline.account_id = ${world.accountId} and pipeline.kommo_id = ${pipeline} order by stage.position`);
const named = async (pipeline: number) =>
  (await stagesOf(pipeline)).map(({ name, type, position }) => `${position} ${type} ${name}`);

describe('pipelines of Kommo', () => {
  it('appear for people to choose from, and nothing else comes of them', async () => {
    const scope = await world.newConnection();
    const [first, second] = [world.next(), world.next()];
    const pipelines = [
      pipelineDocument(first, 'Ventas', [{ id: world.next() }]),
      pipelineDocument(second, `\0${'x'.repeat(500)}`, []),
      { ...pipelineDocument(world.next(), 'Old', []), is_archive: true },
    ];
    expect(await apply(scope, ...pipelines)).toBe(2);
    expect(await listed(scope)).toEqual([
      { kommo_id: String(first), name: 'Ventas', is_connected: 'f', is_ours: 'f' },
      { kommo_id: String(second), name: 'x'.repeat(200), is_connected: 'f', is_ours: 'f' },
    ]);
    expect(await stagesOf(first)).toEqual([]);
    const written = await world.logged(async () => {
      const { value, statements } = await world.counted((tx) =>
        applyKommoPipelines(tx, scope, pipelines),
      );
      expect([value, statements]).toEqual([0, 1]);
    });
    expect(written).toEqual([]);
  });

  it('that are followed are pipelines of ours, with their stages as over there', async () => {
    const scope = await world.newConnection();
    const [own, incoming, contacted] = [world.next(), world.next(), world.next()];
    const document = pipelineDocument(own, 'Ventas', [
      { id: incoming, name: 'Incoming leads' },
      { id: contacted, name: 'Contactado', color: '99CCFF' },
    ]);
    await apply(scope, document);
    await follow(scope);
    expect(await apply(scope, document)).toBeGreaterThan(0);
    expect(await listed(scope)).toMatchObject([{ is_connected: 't', is_ours: 't' }]);
    expect(await stagesOf(own)).toEqual([
      {
        kommo_id: String(incoming),
        name: 'Incoming leads',
        color: '#c1c1c1',
        type: 'active',
        position: '0',
      },
      {
        kommo_id: String(contacted),
        name: 'Contactado',
        color: '#99ccff',
        type: 'active',
        position: '1',
      },
      { kommo_id: '142', name: 'Closed - won', color: '#ccff66', type: 'won', position: '2' },
      { kommo_id: '143', name: 'Closed - lost', color: '#d5d8db', type: 'lost', position: '3' },
    ]);
    const { value, statements } = await world.counted((tx) =>
      applyKommoPipelines(tx, scope, [document]),
    );
    expect([value, statements]).toEqual([0, 1]);
  });

  it('change their names, colours and order as over there, and nothing that is the same', async () => {
    const scope = await world.newConnection();
    const [own, one, two, three] = [world.next(), world.next(), world.next(), world.next()];
    const before = pipelineDocument(own, 'Ventas', [{ id: one }, { id: two }, { id: three }]);
    await apply(scope, before);
    await follow(scope);
    await apply(scope, before);
    const after = pipelineDocument(own, 'Cursos', [
      { id: two },
      { id: one, name: 'First', color: 'none' },
      { id: three },
    ]);
    const written = await world.logged(async () => {
      expect(await apply(scope, after)).toBe(4);
    });
    expect(written.toSorted()).toEqual([
      'kommo_pipelines: UPDATE',
      'pipeline_stages: UPDATE',
      'pipeline_stages: UPDATE',
      'pipelines: UPDATE',
    ]);
    expect(await named(own)).toEqual([
      `0 active Status ${two}`,
      '1 active First',
      `2 active Status ${three}`,
      '3 won Closed - won',
      '4 lost Closed - lost',
    ]);
    expect((await stagesOf(own))[1]).toMatchObject({ color: '#c1c1c1' });
  });

  it('lose stages that no lead is in, keep the others behind, and those of people', async () => {
    const scope = await world.newConnection();
    const [own, one, two, three] = [world.next(), world.next(), world.next(), world.next()];
    const before = pipelineDocument(own, 'Ventas', [{ id: one }, { id: two }, { id: three }]);
    await apply(scope, before);
    await follow(scope);
    await apply(scope, before);
    await world.db.query(sql`
      insert into public.pipeline_stages (account_id, pipeline_id, name)
      select account_id, id, 'Ours' from public.pipelines where kommo_id = ${own}`);
    const lead = { id: world.next(), pipeline: own, status: two };
    const write = (given: Parameters<typeof leadDocument>[0]) =>
      world.run((tx) => applyKommoLeads(tx, scope, [leadDocument(given)]));
    await write(lead);
    const after = pipelineDocument(own, 'Ventas', [{ id: three }]);
    await apply(scope, after);
    expect(await named(own)).toEqual([
      `0 active Status ${three}`,
      `1 active Status ${two}`,
      '2 active Ours',
      '3 won Closed - won',
      '4 lost Closed - lost',
    ]);
    expect(await apply(scope, after)).toBe(0);
    await write({ ...lead, at: T + 1, status: three });
    await apply(scope, after);
    expect((await named(own)).slice(0, 2)).toEqual([`0 active Status ${three}`, '1 active Ours']);
  });

  it('lose the default stage of the account too, and another one takes its place', async () => {
    const scope = await world.newConnection();
    const [own, one, two] = [world.next(), world.next(), world.next()];
    const before = pipelineDocument(own, 'Ventas', [{ id: one }, { id: two }]);
    await apply(scope, before);
    await follow(scope);
    await apply(scope, before);
    await world.db.query(sql`
      update public.accounts
      set default_stage_id = (select id from public.pipeline_stages where kommo_id = ${one})
      where id = ${world.accountId}`);
    await apply(scope, pipelineDocument(own, 'Ventas', [{ id: two }]));
    expect(
      await world.all(sql`
        select stage.kommo_id
        from public.accounts as account
        join public.pipeline_stages as stage on stage.id = account.default_stage_id
        where account.id = ${world.accountId}`),
    ).toEqual([{ kommo_id: String(two) }]);
  });

  it('that are gone or archived are no longer offered; what came of them stays', async () => {
    const scope = await world.newConnection();
    const [own, other] = [world.next(), world.next()];
    const both = [
      pipelineDocument(own, 'Ventas', [{ id: world.next() }]),
      pipelineDocument(other, 'Other', []),
    ];
    await apply(scope, ...both);
    await follow(scope);
    await apply(scope, ...both);
    expect(await apply(scope)).toBe(0);
    expect(await listed(scope)).toHaveLength(2);
    expect(await apply(scope, ...both.slice(1))).toBe(1);
    expect(await listed(scope)).toHaveLength(1);
    expect(await stagesOf(own)).toHaveLength(3);
    await apply(scope, ...both);
    await follow(scope);
    await apply(scope, ...both);
    expect(await world.all(sql`select from public.pipelines where kommo_id = ${own}`)).toHaveLength(
      1,
    );
    expect(await listed(scope)).toMatchObject([{ is_ours: 't' }, { is_ours: 't' }]);
  });

  it('of two connections to one Kommo account are one pipeline of ours', async () => {
    const [first, second] = [await world.newConnection(), await world.newConnection()];
    const own = pipelineDocument(world.next(), 'Ventas', [{ id: world.next() }]);
    for (const scope of [first, second]) {
      await apply(scope, own);
      await follow(scope);
      await apply(scope, own);
    }
    expect(
      await world.all(sql`select from public.pipelines where kommo_id = ${own.id}`),
    ).toHaveLength(1);
    expect(await listed(second)).toMatchObject([{ is_ours: 't' }]);
    expect(await apply(first, own)).toBe(0);
  });
});
