import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { sql } from '../../platform/sql.ts';
import { applyKommoUsers } from '../../server/commands/apply-kommo-account.ts';
import { applyKommoLeads } from '../../server/commands/apply-kommo-leads.ts';
import { leadDocument, T, type LeadGiven } from './kommo-apply-documents.ts';
import { openApplyWorld, type ApplyWorld } from './kommo-apply-world.ts';

let world: ApplyWorld;
let pipeline: number;
let statuses: [number, number, number];

beforeAll(async () => {
  world = await openApplyWorld();
  ({ pipeline, statuses } = await world.followed());
});

afterAll(() => world.close());

const newLead = (more: Partial<LeadGiven> = {}) =>
  world.newKommoLead({ pipeline, status: statuses[1], ...more });
const seconds = (text: string | null | undefined): number => new Date(text ?? '').getTime() / 1000;
const fieldsOf = async (id: number): Promise<unknown> =>
  JSON.parse((await world.lead(id))['custom_fields'] ?? '');

describe('a Kommo lead', () => {
  it('becomes a lead with all that Kommo says', async () => {
    const id = world.next();
    const contact = world.next();
    await world.contacts({ id: contact }, { id: contact + 1 });
    const applied = await world.leads({
      id,
      name: 'Matricula Rosa',
      price: 1200,
      pipeline,
      status: statuses[1],
      contacts: [contact, contact + 1],
      fields: { Edad: '34', Cursos: ['Ingles', 'Excel'] },
      tags: [{ id: id + 1, name: 'CONFIRMADO' }],
    });
    expect(applied).toEqual({ changed: 1, unchanged: 0 });
    const lead = await world.lead(id);
    expect(lead).toMatchObject({
      title: 'Matricula Rosa',
      value: '1200.00',
      currency: 'PEN',
      status: 'open',
      status_id: String(statuses[1]),
      pipeline_kommo_id: String(pipeline),
      assigned_to: null,
      source: 'kommo',
      contact_id: (await world.contact(contact))['id'],
    });
    expect(seconds(lead['created_at'])).toBe(T - 1_000);
    expect(await fieldsOf(id)).toEqual({ Edad: '34', Cursos: ['Ingles', 'Excel'] });
    expect(await world.tagsOf('lead', Number(lead['id']))).toEqual(['CONFIRMADO']);
  });

  it('is called by its number when it has no name', async () => {
    const { id } = await newLead({ name: ' ' });
    expect(await world.lead(id)).toMatchObject({ title: `Lead #${id}`, value: '0.00' });
  });

  it('is won and lost as over there, at its time and for its reason', async () => {
    const given = await newLead({ status: 143, closedAt: T - 5, lossReason: 'Precio' });
    expect(await world.lead(given.id)).toMatchObject({ status: 'lost', close_reason: 'Precio' });
    expect(seconds((await world.lead(given.id))['closed_at'])).toBe(T - 5);
    const { lossReason: _reason, ...won } = given;
    await world.leads({ ...won, at: T + 1, status: 142 });
    expect(await world.lead(given.id)).toMatchObject({ status: 'won', close_reason: null });
    expect(seconds((await world.lead(given.id))['closed_at'])).toBe(T - 5);
    await world.leads({ ...won, at: T + 2, status: statuses[0], closedAt: null });
    expect(await world.lead(given.id)).toMatchObject({ status: 'open', closed_at: null });
    await world.leads({ ...won, at: T + 3, status: 142, closedAt: null });
    expect((await world.lead(given.id))['closed_at']).not.toBeNull();
  });

  it('loses what it loses over there, and keeps what people did', async () => {
    const given = await newLead({
      fields: { Edad: '34', Origen: 'Web' },
      tags: [{ id: world.next(), name: `Hot ${pipeline}` }],
    });
    const before = await world.lead(given.id);
    await world.db.query(sql`
      update public.leads
      set position = 7, notes = 'call back', archived_at = now(), custom_fields = custom_fields || '{"Sala": "B"}',
        assigned_to = ${world.ours.userId}, title = 'Ours', deleted_at = now()
      where id = ${before['id']}`);
    await world.leads({ ...given, at: T + 1, name: 'Theirs', tags: [], fields: { Edad: '35' } });
    const after = await world.lead(given.id);
    expect(after).toMatchObject({
      title: 'Theirs',
      position: '7',
      notes: 'call back',
      assigned_to: String(world.ours.userId),
    });
    expect(after['archived_at']).not.toBeNull();
    expect(after['deleted_at']).not.toBeNull();
    expect(await fieldsOf(given.id)).toEqual({ Edad: '35', Sala: 'B' });
    expect(await world.tagsOf('lead', Number(after['id']))).toEqual([]);
  });

  it('is of the member with the e-mail of who is responsible, and of nobody when that one is not ours', async () => {
    const [ana, stranger] = [world.next(), world.next()];
    const { email } = await world.one(sql`
      select upper(email) || ' ' as email from public.users where id = ${world.ours.userId}`);
    const people = [
      { id: ana, name: 'Ana', email },
      { id: stranger, name: 'Nobody', email: 'nobody@x.pe' },
    ];
    expect(await world.run((tx) => applyKommoUsers(tx, world.scope, people))).toBe(2);
    const given = await newLead({ responsible: ana });
    const userId = String(world.ours.userId);
    expect(await world.lead(given.id)).toMatchObject({ assigned_to: userId });
    await world.leads({ ...given, at: T + 1, responsible: stranger });
    expect(await world.lead(given.id)).toMatchObject({ assigned_to: null });
    await world.db.query(sql`
      update public.leads set assigned_to = ${world.ours.userId} where kommo_id = ${given.id}`);
    await world.leads({ ...given, at: T + 2, name: 'Other', responsible: stranger });
    expect(await world.lead(given.id)).toMatchObject({ assigned_to: userId });
  });

  it('goes to the main contact, or else to the first', async () => {
    const given = await newLead();
    const other = world.next();
    await world.contacts({ id: other });
    const contactOf = async (id: number) => (await world.contact(id))['id'];
    await world.leads({ ...given, at: T + 1, contacts: [other, given.contact] });
    expect(await world.lead(given.id)).toMatchObject({ contact_id: await contactOf(other) });
    const document = leadDocument({ ...given, at: T + 2 });
    const contacts = [{ id: given.contact, is_main: false }, { id: other }];
    const without = { ...document, _embedded: { ...document._embedded, contacts } };
    await world.run((tx) => applyKommoLeads(tx, world.scope, [without]));
    expect(await world.lead(given.id)).toMatchObject({
      contact_id: await contactOf(given.contact),
    });
  });

  it('of one phone may be two', async () => {
    const [contact, first, second] = [world.next(), world.next(), world.next()];
    await world.contacts({ id: contact, phones: [`+${world.newNumber().phone}`] });
    const common = { pipeline, status: statuses[0], contacts: [contact] };
    await world.leads({ id: first, ...common }, { id: second, ...common });
    expect((await world.lead(first))['contact_id']).toBe((await world.lead(second))['contact_id']);
  });
});

describe('a Kommo lead without a contact', () => {
  it('has one of its own, called like it, until it has another', async () => {
    const id = world.next();
    const given = { id, pipeline, status: statuses[0] };
    await world.leads({ ...given, name: 'From the web' });
    const { contact_id: own } = await world.lead(id);
    const ownName = async () =>
      (await world.all(sql`select name, source from public.contacts where id = ${own}`))[0];
    expect(await ownName()).toEqual({ name: 'From the web', source: 'kommo' });
    await world.leads({ ...given, at: T + 1, name: 'From the fair', price: 3 });
    expect(await ownName()).toEqual({ name: 'From the fair', source: 'kommo' });
    expect(await world.lead(id)).toMatchObject({ contact_id: own });
    const contact = world.next();
    await world.contacts({ id: contact });
    await world.leads({ ...given, at: T + 2, contacts: [contact] });
    expect(await world.lead(id)).toMatchObject({
      contact_id: (await world.contact(contact))['id'],
    });
    expect(await ownName()).toBeUndefined();
    await world.leads({ ...given, at: T + 3 });
    expect((await world.lead(id))['contact_id']).not.toBe((await world.contact(contact))['id']);
  });

  it('leaves a contact behind that people have made something of', async () => {
    const id = world.next();
    const contact = world.next();
    await world.contacts({ id: contact });
    const given = { id, pipeline, status: statuses[0] };
    await world.leads(given);
    const { contact_id: own } = await world.lead(id);
    await world.db.query(sql`
      update public.contacts set notes = 'she called', name = 'Rosa' where id = ${own}`);
    await world.leads({ ...given, at: T + 1, name: 'Renamed' });
    await world.leads({ ...given, at: T + 2, contacts: [contact] });
    expect(await world.all(sql`select name from public.contacts where id = ${own}`)).toEqual([
      { name: 'Rosa' },
    ]);
  });

  it('stays with whom people gave it to', async () => {
    const given = { id: world.next(), pipeline, status: statuses[0] };
    await world.leads(given);
    const [theirs] = world.ours.contactIds;
    await world.db.query(sql`
      update public.leads set contact_id = ${theirs} where kommo_id = ${given.id}`);
    await world.leads({ ...given, at: T + 1, name: 'Renamed' });
    expect(await world.lead(given.id)).toMatchObject({ contact_id: String(theirs) });
  });

  it('is one whose contact Kommo does not show', async () => {
    const [id, contact] = [world.next(), world.next()];
    const page = [leadDocument({ id, pipeline, status: statuses[0], contacts: [contact] })];
    const absentContacts = [contact];
    const apply = () =>
      world.run((tx) => applyKommoLeads(tx, world.scope, page, { absentContacts }));
    expect(await apply()).toEqual({ changed: 1, unchanged: 0 });
    expect(await apply()).toEqual({ changed: 0, unchanged: 1 });
    await world.contacts({ id: contact });
    expect(await world.run((tx) => applyKommoLeads(tx, world.scope, page))).toMatchObject({
      changed: 1,
    });
    expect(await world.lead(id)).toMatchObject({
      contact_id: (await world.contact(contact))['id'],
    });
  });
});
