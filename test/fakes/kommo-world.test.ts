import { describe, expect, it } from 'vitest';
import { createVirtualClock } from '../../fakes/kommo/clock.ts';
import { editAtRandom } from '../../fakes/kommo/edits.ts';
import { createRandom } from '../../fakes/kommo/random.ts';
import { START_SECONDS, startAcme, type Acme } from './support.ts';

describe('leads of a world', () => {
  it('change with their time, and an edit that changes nothing is none', async () => {
    const { world, clock } = await startAcme();
    const { id } = world.leads.create({ name: 'One', price: 5, fields: { Edad: 3 }, tags: ['A'] });
    clock.advance(1_500);
    const same = world.leads.update(id, { name: 'One', fields: { Edad: '3' }, tags: ['A'] });
    expect([same.updatedAt, world.leads.edits]).toEqual([START_SECONDS, 1]);
    const changed = world.leads.update(id, { price: 6, by: 9 });
    expect(changed).toMatchObject({ price: 6, updatedAt: START_SECONDS + 1, updatedBy: 9 });
    clock.advance(1_000);
    expect(world.leads.touch(id)).toMatchObject({ price: 6, updatedAt: START_SECONDS + 2 });
    expect(world.leads.edits).toBe(2);
  });

  it('are closed on 142 and 143 and open again elsewhere, lost with a reason', async () => {
    const { world, clock } = await startAcme();
    const [reason] = world.lossReasons.list();
    const { id, statusId } = world.leads.create({});
    clock.advance(1_000);
    const lost = world.leads.update(id, { statusId: 143, lossReasonId: reason?.id });
    expect(lost).toMatchObject({ closedAt: START_SECONDS + 1, lossReasonId: reason?.id });
    clock.advance(1_000);
    const won = world.leads.update(id, { statusId: 142 });
    expect(won).toMatchObject({ closedAt: START_SECONDS + 2, lossReasonId: null });
    expect(world.leads.update(id, { statusId })).toMatchObject({ closedAt: null });
  });

  it('have a main contact, the first one or the one that was linked as such', async () => {
    const { world } = await startAcme();
    const [a = 0, b = 0] = ['A', 'B'].map((name) => world.contacts.create({ name }).id);
    const { id } = world.leads.create({});
    world.leads.link(id, a);
    expect(world.leads.link(id, b).contacts).toEqual([
      { id: a, isMain: true },
      { id: b, isMain: false },
    ]);
    expect(world.leads.link(id, b, { isMain: true }).contacts[0]).toEqual({ id: b, isMain: true });
    expect(world.leads.unlink(id, b).contacts).toEqual([{ id: a, isMain: true }]);
    expect(() => world.leads.link(id, 5)).toThrow('no contact 5');
  });

  it('may keep their time when they are tagged or linked, as the account has it', async () => {
    const settings = { doTagsRaiseUpdatedAt: false, doLinksRaiseUpdatedAt: false };
    const { world, clock } = await startAcme({ settings });
    const contact = world.contacts.create({});
    const { id } = world.leads.create({});
    clock.advance(5_000);
    expect(world.leads.tag(id, ['VIP'])).toMatchObject({ updatedAt: START_SECONDS });
    expect(world.leads.link(id, contact.id)).toMatchObject({ updatedAt: START_SECONDS });
    world.set({ doTagsRaiseUpdatedAt: true, doLinksRaiseUpdatedAt: true });
    expect(world.leads.untag(id, ['VIP'])).toMatchObject({ updatedAt: START_SECONDS + 5 });
    clock.advance(1_000);
    expect(world.leads.unlink(id, contact.id)).toMatchObject({ updatedAt: START_SECONDS + 6 });
  });

  it('refuse what is not there: stages, fields, choices, the deleted', async () => {
    const { world } = await startAcme();
    const { id } = world.leads.create({});
    expect(() => world.leads.create({ statusId: 5 })).toThrow('no stage 5');
    expect(() => world.leads.update(id, { fields: { Talla: 1 } })).toThrow('no field Talla');
    expect(() => world.leads.update(id, { fields: { Origen: 'Radio' } })).toThrow('choice Radio');
    world.leads.delete(id);
    expect(() => world.leads.update(id, { price: 1 })).toThrow('deleted');
    expect(() => world.leads.delete(id)).toThrow('deleted');
    world.leads.restore(id);
    expect(() => world.leads.restore(id)).toThrow('not deleted');
    expect(() => world.leads.delete(5)).toThrow('no lead 5');
  });
});

describe('contacts of a world', () => {
  it('are merged: what one lacks it takes from the other, leads and tags too, and the other is gone', async () => {
    const { world } = await startAcme();
    const into = world.contacts.create({ name: 'Rosa', phones: ['111'], tags: ['A'] });
    const from = world.contacts.create({
      name: 'Rosita',
      phones: ['111', '222'],
      tags: ['B'],
      fields: { POSITION: 'Gerente' },
    });
    const lead = world.leads.create({ contactIds: [from.id] });
    const both = world.leads.create({ contactIds: [from.id, into.id] });
    const merged = world.contacts.merge({ into: into.id, from: from.id });
    expect(merged.name).toBe('Rosa');
    expect(merged.tagIds).toHaveLength(2);
    const values = [...merged.fields.values()].map((list) => list.map(({ value }) => value));
    expect(values).toEqual([['111', '222'], ['Gerente']]);
    expect(world.contacts.get(from.id)).toBeUndefined();
    expect(world.leads.get(lead.id)?.contacts).toEqual([{ id: into.id, isMain: true }]);
    expect(world.leads.get(both.id)?.contacts).toEqual([{ id: into.id, isMain: true }]);
    expect(() => world.contacts.merge({ into: into.id, from: into.id })).toThrow('itself');
  });
});

describe('what surrounds them', () => {
  it('tags are renamed and removed without a word and without the time of their rows', async () => {
    const { world, get, clock } = await startAcme();
    const { id } = world.leads.create({ tags: ['VIP', 'Feria'] });
    const [vip] = world.tags.list('leads');
    clock.advance(5_000);
    world.tags.update('leads', vip?.id ?? 0, { name: 'Muy VIP', color: 'EBEBEB' });
    const shown = (await get(`leads/${id}`)).body;
    expect(shown).toMatchObject({
      updated_at: START_SECONDS,
      _embedded: { tags: [{ id: vip?.id, name: 'Muy VIP', color: 'EBEBEB' }, { name: 'Feria' }] },
    });
    world.tags.remove('leads', vip?.id ?? 0);
    expect((await get(`leads/${id}`)).body).toMatchObject({
      updated_at: START_SECONDS,
      _embedded: { tags: [{ name: 'Feria' }] },
    });
    expect(() => world.tags.add('leads', 'Feria')).toThrow('already');
  });

  it('stages are added, renamed, recoloured, reordered and removed, their leads going elsewhere', async () => {
    const { world, get } = await startAcme();
    const { id: pipelineId } = world.pipelines.main;
    const added = world.pipelines.addStage(pipelineId, { name: 'Cierre', color: '#ff0000' });
    const { id } = world.leads.create({ statusId: added.id });
    world.pipelines.updateStage(pipelineId, added.id, { name: 'Final', color: '#00ff00' });
    const names = async () =>
      (await get(`leads/pipelines/${pipelineId}/statuses`)).rows.map(({ name }) => name);
    const before = ['Incoming leads', 'Contactado', 'Visita', 'Propuesta', 'Final'];
    const closed = ['Closed - won', 'Closed - lost'];
    expect(await names()).toEqual([...before, ...closed]);
    const own = world.pipelines.main.stages.filter(({ isEditable }) => isEditable);
    world.pipelines.reorderStages(pipelineId, own.map((stage) => stage.id).toReversed());
    expect(await names()).toEqual(['Incoming leads', ...before.slice(1).toReversed(), ...closed]);
    world.pipelines.removeStage(pipelineId, added.id);
    expect(world.leads.get(id)?.statusId).toBe(world.pipelines.main.stages[1]?.id);
    expect(() => world.pipelines.removeStage(pipelineId, 142)).toThrow('system');
    expect(() => world.pipelines.reorderStages(pipelineId, [1])).toThrow('all of them');
    const patch = { color: '#000000' };
    expect(() => world.pipelines.updateStage(pipelineId, 143, patch)).toThrow('system');
    world.pipelines.updateStage(pipelineId, 143, { name: 'Perdido' });
    expect((await names()).at(-1)).toBe('Perdido');
  });

  it('pipelines are renamed, reordered, archived, made the main one and removed', async () => {
    const { world, get } = await startAcme();
    const [first, second] = world.pipelines.list();
    const ids = [first?.id ?? 0, second?.id ?? 0];
    world.pipelines.reorder(ids.toReversed());
    world.pipelines.update(ids[1] ?? 0, { name: 'Otra', isArchive: true, isMain: true });
    expect((await get('leads/pipelines')).rows).toMatchObject([
      { id: ids[1], name: 'Otra', sort: 1, is_main: true, is_archive: true },
      { id: ids[0], sort: 2, is_main: false },
    ]);
    const won = world.leads.create({ pipelineId: ids[0], statusId: 142 });
    const open = world.leads.create({ pipelineId: ids[0] });
    world.pipelines.remove(ids[0] ?? 0);
    expect(world.leads.get(won.id)).toMatchObject({ pipelineId: ids[1], statusId: 142 });
    expect(world.leads.get(open.id)?.pipelineId).toBe(ids[1]);
    expect(() => world.pipelines.remove(ids[1] ?? 0)).toThrow('main');
  });

  it('people and reasons come, change and go', async () => {
    const { world, get } = await startAcme();
    const { id } = world.users.add({ name: 'Eva', email: 'eva@example.com' });
    world.users.update(id, { isActive: false, email: 'e@example.com' });
    expect((await get(`users/${id}`)).body).toMatchObject({
      name: 'Eva',
      email: 'e@example.com',
      rights: { is_active: false },
    });
    world.users.remove(id);
    expect((await get(`users/${id}`)).status).toBe(204);
    const reason = world.lossReasons.add('Lejos');
    world.lossReasons.rename(reason.id, 'Muy lejos');
    const rows = (await get('leads/loss_reasons')).rows;
    expect(rows.at(-1)).toMatchObject({ name: 'Muy lejos' });
    world.lossReasons.remove(reason.id);
    expect((await get('leads/loss_reasons')).rows).toHaveLength(3);
    const field = world.fields.define({ entity: 'leads', name: 'Talla', type: 'text' });
    const lead = world.leads.create({ fields: { Talla: 'M' } });
    world.fields.rename(field.id, 'Tamaño');
    const named = [{ field_name: 'Tamaño', values: [{ value: 'M' }] }];
    expect((await get(`leads/${lead.id}`)).body).toMatchObject({ custom_fields_values: named });
    world.fields.remove(field.id);
    expect((await get(`leads/${lead.id}`)).body).toMatchObject({ custom_fields_values: null });
  });
});

function whole({ world }: Acme): unknown {
  const plain = <Row extends { fields: ReadonlyMap<number, unknown> }>(row: Row) => ({
    ...row,
    fields: [...row.fields],
  });
  return {
    leads: Array.from(world.leads.all(), plain),
    contacts: Array.from(world.contacts.all(), plain),
    events: world.events.list({}).map(({ id, type, entityId }) => [id, type, entityId]),
  };
}

describe('scale and chance', () => {
  it('fifty thousand leads and contacts come from a seed, and 5,000 rows change within one second', async () => {
    const { world, get } = await startAcme();
    world.generate({ leads: 50_000, contacts: 50_000 });
    expect([world.leads.count, world.contacts.count]).toEqual([50_000, 50_000]);
    const ids = world.bulkEdit('leads', { count: 5_000 });
    expect(new Set(ids).size).toBe(5_000);
    const seconds = new Set(ids.map((id) => world.leads.get(id)?.updatedAt));
    expect(seconds).toEqual(new Set([START_SECONDS]));
    const changed = `leads?limit=250&filter[updated_at][from]=${START_SECONDS}`;
    expect((await get(`${changed}&page=20`)).rows).toHaveLength(250);
    expect((await get(`${changed}&page=21`)).rows.length).toBeLessThan(250);
    const patch = { price: 77 };
    expect(world.bulkEdit('leads', { ids: ids.slice(0, 3), patch })).toEqual(ids.slice(0, 3));
    expect(world.leads.get(ids[0] ?? 0)?.price).toBe(77);
  });

  it('an edit of many rows is of one second though the clock goes on meanwhile', async () => {
    let nowMs = START_SECONDS * 1_000;
    const after = (): (() => void) => () => undefined;
    const { world } = await startAcme({ clock: { now: () => (nowMs += 300), after } });
    world.generate({ leads: 50 });
    const ids = world.bulkEdit('leads', {});
    expect(new Set(ids.map((id) => world.leads.get(id)?.updatedAt)).size).toBe(1);
  });

  it('the same seed and the same steps make the same world, another seed another one', async () => {
    const build = async (seed: number): Promise<unknown> => {
      const acme = await startAcme({ seed, settings: { listDelayMs: [0, 3_000] } });
      acme.world.generate({ leads: 200, contacts: 150 });
      const random = createRandom(seed);
      const edits = Array.from({ length: 300 }, () => {
        acme.clock.advance(700);
        return editAtRandom(acme.world, random);
      });
      const lists = [await acme.get('leads?limit=250'), await acme.get('contacts?limit=250')];
      const seen = lists.map(({ rows }) =>
        rows.map((row) => ({ ...row, _links: undefined, _embedded: undefined })),
      );
      const tokens = acme.access.refreshToken;
      return { edits, seen, tokens, ...(whole(acme) as object) };
    };
    const [one, same, other] = [await build(3), await build(3), await build(4)];
    expect(same).toEqual(one);
    expect(other).not.toEqual(one);
  });

  it('every kind of edit happens, and each tells of itself', async () => {
    const acme = await startAcme();
    acme.world.generate({ leads: 30, contacts: 30 });
    const random = createRandom(1);
    const names = new Set<string | undefined>();
    for (let count = 0; count < 600; count += 1) names.add(editAtRandom(acme.world, random));
    expect(names.size).toBeGreaterThan(15);
    const types = new Set(acme.world.events.list({}).map(({ type }) => type));
    for (const type of ['lead_added', 'lead_deleted', 'lead_restored', 'entity_tag_added']) {
      expect(types).toContain(type);
    }
  });

  it('accounts have ids of their own', async () => {
    const { fake, world } = await startAcme();
    fake.createAccount({ subdomain: 'other' });
    const other = fake.world('other');
    const [a, b] = [world.leads.create({}), other.leads.create({})];
    expect(a.id).not.toBe(b.id);
    expect(world.pipelines.main.id).not.toBe(other.pipelines.main.id);
    expect(world.id).not.toBe(other.id);
    expect(() => fake.createAccount({ subdomain: 'other' })).toThrow('taken');
    expect(() => other.rename('acme')).toThrow('taken');
  });
});

describe('a virtual clock', () => {
  it('runs what falls due on its way, each at its moment, in order, and what was called off not', () => {
    const clock = createVirtualClock(1_000);
    const seen: string[] = [];
    const note = (name: string) => () => void seen.push(`${name} ${clock.now()}`);
    clock.after(300, () => {
      note('c')();
      clock.after(100, note('d'));
    });
    clock.after(100, note('a'));
    clock.after(100, note('b'));
    clock.after(200, note('never'))();
    clock.advance(99);
    expect(seen).toEqual([]);
    clock.advance(1_000);
    expect(seen).toEqual(['a 1100', 'b 1100', 'c 1300', 'd 1400']);
    expect(clock.now()).toBe(2_099);
  });
});
