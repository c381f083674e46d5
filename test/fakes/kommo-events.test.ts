import { describe, expect, it } from 'vitest';
import { START_SECONDS, startAcme, type Acme } from './support.ts';

async function typesOf({ get }: Acme, query = ''): Promise<unknown[]> {
  return (await get(`events?limit=250${query}`)).rows.map(({ type }) => type);
}

describe('events', () => {
  it('tell what happens to leads and contacts, in the shapes that are documented', async () => {
    const acme = await startAcme({ settings: { eventOrder: 'oldest' } });
    const { world, get } = acme;
    const [user] = world.users.list();
    const rosa = world.contacts.create({ name: 'Rosa' });
    const jose = world.contacts.create({ name: 'José' });
    const { id } = world.leads.create({ contactIds: [rosa.id] });
    world.leads.update(id, {
      name: 'New',
      price: 5,
      statusId: 142,
      responsibleUserId: world.users.list()[1]?.id,
      fields: { Edad: 3 },
      by: user?.id,
    });
    world.leads.tag(id, ['VIP']);
    world.leads.untag(id, ['VIP']);
    world.leads.link(id, jose.id);
    world.leads.unlink(id, jose.id);
    world.leads.delete(id);
    world.leads.restore(id);
    world.contacts.delete(rosa.id);
    world.contacts.restore(rosa.id);
    world.contacts.merge({ into: rosa.id, from: jose.id });
    expect(await typesOf(acme)).toEqual([
      'contact_added',
      'contact_added',
      'lead_added',
      'lead_status_changed',
      'sale_field_changed',
      'name_field_changed',
      'entity_responsible_changed',
      'custom_field_value_changed',
      'entity_tag_added',
      'entity_tag_deleted',
      'lead_linked',
      'lead_unlinked',
      'lead_deleted',
      'lead_restored',
      'contact_deleted',
      'contact_restored',
      'entity_merged',
    ]);
    const [moved] = (await get('events?filter[type]=lead_status_changed')).rows;
    const pipeline = world.pipelines.main;
    expect(moved).toMatchObject({
      id: expect.any(String),
      entity_id: id,
      entity_type: 'lead',
      created_by: user?.id,
      created_at: START_SECONDS,
      value_after: [{ lead_status: { id: 142, pipeline_id: pipeline.id } }],
      value_before: [{ lead_status: { id: pipeline.stages[1]?.id, pipeline_id: pipeline.id } }],
      account_id: world.id,
      _embedded: { entity: { id } },
    });
    expect((await get(`events/${moved?.id}`)).body).toEqual(moved);
    expect((await get('events/types')).rows).toContainEqual(
      expect.objectContaining({ key: 'lead_deleted' }),
    );
  });

  it('come newest first, or oldest first, in pages, with 204 for none', async () => {
    const acme = await startAcme();
    expect((await acme.get('events')).status).toBe(204);
    const ids = [1, 2, 3].map(() => {
      acme.clock.advance(1_000);
      return acme.world.leads.create({}).id;
    });
    const entities = async (query: string) =>
      (await acme.get(`events?${query}`)).rows.map(({ entity_id }) => entity_id);
    expect(await entities('')).toEqual(ids.toReversed());
    expect(await entities('limit=2&page=2')).toEqual([ids[0]]);
    acme.world.set({ eventOrder: 'oldest' });
    expect(await entities('limit=2')).toEqual(ids.slice(0, 2));
    const sorted = (await acme.get('events')).rows.map(({ id }) => String(id));
    expect(sorted).toEqual(sorted.toSorted((a, b) => (a < b ? -1 : 1)));
  });

  it('are filtered by type, entity, id, person and time', async () => {
    const acme = await startAcme({ settings: { eventOrder: 'oldest' } });
    const { world, clock } = acme;
    const lead = world.leads.create({ by: 7 }).id;
    clock.advance(10_000);
    const contact = world.contacts.create({}).id;
    world.leads.delete(lead);
    expect(await typesOf(acme, '&filter[type]=lead_deleted,contact_added')).toEqual([
      'contact_added',
      'lead_deleted',
    ]);
    expect(await typesOf(acme, '&filter[type][]=lead_deleted')).toEqual(['lead_deleted']);
    expect(await typesOf(acme, '&filter[type]=talk_created')).toEqual([]);
    expect(await typesOf(acme, '&filter[entity]=contact')).toEqual(['contact_added']);
    const one = `&filter[entity]=contact&filter[entity_id][]=${contact}`;
    expect(await typesOf(acme, one)).toEqual(['contact_added']);
    expect(await typesOf(acme, '&filter[created_by]=7')).toEqual(['lead_added']);
    const later = `&filter[created_at][from]=${START_SECONDS + 1}`;
    expect(await typesOf(acme, later)).toEqual(['contact_added', 'lead_deleted']);
    expect(await typesOf(acme, `&filter[created_at]=${START_SECONDS + 1}`)).toHaveLength(2);
    expect(await typesOf(acme, `&filter[created_at][to]=${START_SECONDS}`)).toEqual(['lead_added']);
    expect((await acme.get('events?filter[entity_id][]=1')).status).toBe(400);
    const many = Array.from({ length: 11 }, (_, index) => index).join(',');
    expect((await acme.get(`events?filter[created_by]=${many}`)).status).toBe(400);
  });

  it('may come later than what they tell, by up to three seconds', async () => {
    const acme = await startAcme({ settings: { eventDelayMs: [0, 3_000] } });
    for (let count = 0; count < 40; count += 1) acme.world.leads.create({});
    expect((await acme.get('leads')).rows).toHaveLength(40);
    acme.clock.advance(1_500);
    const some = await typesOf(acme);
    expect(some.length).toBeGreaterThan(5);
    expect(some.length).toBeLessThan(35);
    acme.clock.advance(1_500);
    const all = await acme.get('events?limit=250');
    expect(all.rows).toHaveLength(40);
    expect(new Set(all.rows.map(({ created_at }) => created_at))).toEqual(new Set([START_SECONDS]));
  });

  it('may be a hundred a page whatever is asked for, may be lost, and are not of hidden rows', async () => {
    const acme = await startAcme({ settings: { eventsPerPageMax: 100 } });
    for (let count = 0; count < 150; count += 1) acme.world.leads.create({});
    const page = await acme.get('events?limit=250');
    expect(page.rows).toHaveLength(100);
    expect((await acme.get('events?limit=250&page=2')).rows).toHaveLength(50);
    acme.world.set({ hiddenShare: 1 });
    expect(await typesOf(acme)).toEqual([]);
    acme.world.set({ hiddenShare: 0, eventLoss: 1, eventsPerPageMax: 250 });
    acme.world.leads.create({});
    expect(await typesOf(acme)).toHaveLength(150);
  });

  it('do not tell what nobody did: a generated world, an edit that changes nothing, a tag that is renamed', async () => {
    const acme = await startAcme();
    const { world } = acme;
    world.generate({ leads: 20, contacts: 20 });
    const [lead] = world.leads.all();
    world.leads.update(lead?.id ?? 0, { name: lead?.name });
    const [tag] = world.tags.list('leads');
    world.tags.update('leads', tag?.id ?? 0, { name: 'Otro' });
    world.tags.remove('leads', tag?.id ?? 0);
    expect((await acme.get('events')).status).toBe(204);
  });

  it('may tell that the contact which a merge swallowed is deleted', async () => {
    const acme = await startAcme({ settings: { doesMergeTellDeleted: true } });
    const [into = 0, from = 0] = [1, 2].map(() => acme.world.contacts.create({}).id);
    acme.world.contacts.merge({ into, from });
    const [deleted] = (await acme.get('events?filter[type]=contact_deleted')).rows;
    expect(deleted).toMatchObject({ entity_id: from });
  });
});
