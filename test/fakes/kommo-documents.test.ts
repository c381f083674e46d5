import { describe, expect, it } from 'vitest';
import type { z } from 'zod';
import * as theirs from '../../server/kommo/documents.ts';
import { START_SECONDS, startAcme } from './support.ts';

/** Every row is one that the client of ours reads. */
function expectAll(rows: readonly unknown[], schema: z.ZodType): void {
  expect(rows.length).toBeGreaterThan(0);
  for (const row of rows) expect(schema.safeParse(row).error?.message).toBeUndefined();
}

describe('a lead', () => {
  it('has the shape that is documented, with what is asked for and no more', async () => {
    const { world, get } = await startAcme();
    const contact = world.contacts.create({ name: 'Rosa' });
    const other = world.contacts.create({ name: 'José' });
    const reason = world.lossReasons.list()[0];
    const { id } = world.leads.create({
      name: 'Matrícula',
      price: 1_200,
      statusId: 143,
      lossReasonId: reason?.id,
      contactIds: [contact.id, other.id],
      tags: ['VIP'],
      by: 9,
    });
    const bare = (await get('leads')).rows[0];
    expect(bare).toMatchObject({
      id,
      name: 'Matrícula',
      price: 1_200,
      status_id: 143,
      pipeline_id: world.pipelines.main.id,
      loss_reason_id: reason?.id,
      created_by: 9,
      created_at: START_SECONDS,
      updated_at: START_SECONDS,
      closed_at: START_SECONDS,
      is_deleted: false,
      custom_fields_values: null,
      account_id: world.id,
      _embedded: { tags: [{ name: 'VIP', color: null }], companies: [] },
    });
    expect(Object.keys(bare?.['_embedded'] ?? {})).toEqual(['tags', 'companies']);
    const full = (await get('leads?with=contacts,loss_reason')).rows[0];
    expect(full?.['_embedded']).toMatchObject({
      loss_reason: [{ id: reason?.id, name: 'Precio' }],
      contacts: [
        { id: contact.id, is_main: true },
        { id: other.id, is_main: false },
      ],
    });
    const alone = await get(`leads/${id}?with=contacts,loss_reason`);
    expect([alone.status, alone.body]).toEqual([200, full]);
  });

  it('writes the values of its fields as Kommo does, each type its own way', async () => {
    const { world, get } = await startAcme();
    world.fields.define({ entity: 'leads', name: 'Mapa', type: 'smart_address' });
    world.fields.define({ entity: 'leads', name: 'Novedad', type: 'some_new_type' });
    world.leads.create({
      fields: {
        Edad: 34,
        Origen: 'Web',
        Cursos: ['Ingles', 'Excel'],
        Inicio: 1_795_305_600,
        Acepta: true,
        UTM_SOURCE: 'fb',
        Mapa: [{ value: 'Av. Arequipa 1' }, { value: 'Lima' }],
        Novedad: 'x',
      },
    });
    const lead = (await get('leads')).rows[0];
    type Field = { field_name: string; values: unknown };
    const fields = (lead?.['custom_fields_values'] ?? []) as Field[];
    const values = Object.fromEntries(fields.map((field) => [field.field_name, field.values]));
    expect(values).toEqual({
      Edad: [{ value: '34' }],
      Origen: [{ value: 'Web', enum_id: expect.any(Number), enum_code: null }],
      Cursos: [
        { value: 'Ingles', enum_id: expect.any(Number), enum_code: null },
        { value: 'Excel', enum_id: expect.any(Number), enum_code: null },
      ],
      Inicio: [{ value: 1_795_305_600 }],
      Acepta: [{ value: true }],
      utm_source: [{ value: 'fb' }],
      Mapa: [{ value: 'Av. Arequipa 1' }, { value: 'Lima' }],
      Novedad: [{ value: 'x' }],
    });
  });

  it('has null for no fields, or an empty list where that is the habit', async () => {
    const { world, get } = await startAcme();
    const { id } = world.leads.create({ fields: { Edad: 3 } });
    world.leads.update(id, { fields: { Edad: null } });
    expect((await get(`leads/${id}`)).body).toMatchObject({ custom_fields_values: null });
    world.set({ emptyFields: 'list' });
    expect((await get(`leads/${id}`)).body).toMatchObject({ custom_fields_values: [] });
  });

  it('is 204 alone when there is none', async () => {
    const { get } = await startAcme();
    expect([(await get('leads/5')).status, (await get('contacts/5')).status]).toEqual([204, 204]);
  });
});

describe('a contact', () => {
  it('has the shape that is documented, phones and e-mails with their codes, and its leads when asked', async () => {
    const { world, get } = await startAcme();
    const { id } = world.contacts.create({
      firstName: 'Rosa',
      lastName: 'Quispe',
      phones: ['987 654 321', '+51912345678'],
      emails: ['rosa@example.com'],
      fields: { POSITION: 'Gerente' },
    });
    const lead = world.leads.create({ contactIds: [id] });
    const answer = await get(`contacts?filter[id][]=${id}&with=leads`);
    expect(answer.rows[0]).toMatchObject({
      id,
      name: 'Rosa Quispe',
      first_name: 'Rosa',
      last_name: 'Quispe',
      is_unsorted: false,
      custom_fields_values: [
        {
          field_code: 'PHONE',
          field_type: 'multitext',
          values: [
            { value: '987 654 321', enum_id: expect.any(Number), enum_code: 'WORK' },
            { value: '+51912345678', enum_id: expect.any(Number), enum_code: 'MOB' },
          ],
        },
        { field_code: 'EMAIL', values: [{ value: 'rosa@example.com', enum_code: 'WORK' }] },
        { field_code: 'POSITION', values: [{ value: 'Gerente' }] },
      ],
      _embedded: { tags: [], leads: [{ id: lead.id }] },
    });
    expect((await get(`contacts/${id}`)).body?.['_embedded']).not.toHaveProperty('leads');
  });
});

describe('what surrounds leads and contacts', () => {
  it('pipelines, each with an incoming stage of type 1 and with 142 and 143', async () => {
    const { world, get } = await startAcme();
    const { body, rows } = await get('leads/pipelines');
    expect(body).toMatchObject({ _total_items: 2 });
    expectAll(rows, theirs.pipeline);
    for (const row of rows) {
      const { statuses } = row['_embedded'] as { statuses: { id: number; type: number }[] };
      expect(statuses.filter(({ type }) => type === 1)).toHaveLength(1);
      expect(statuses[0]).toMatchObject({ type: 1, is_editable: false, sort: 10 });
      expect(statuses.slice(-2).map(({ id }) => id)).toEqual([142, 143]);
      const own = await get(`leads/pipelines/${row.id}/statuses`);
      expect(own.rows).toEqual(statuses);
      expect((await get(`leads/pipelines/${row.id}`)).body).toEqual(row);
      expect((await get(`leads/pipelines/${row.id}/statuses/142`)).body).toEqual(statuses.at(-2));
    }
    world.pipelines.add({ name: 'Otra', stages: [{ name: 'Una', color: '#ff0000' }] });
    const third = (await get('leads/pipelines')).rows[2];
    expect(third).toMatchObject({ name: 'Otra', sort: 3, is_main: false });
    expect((await get('leads/pipelines/1')).status).toBe(404);
  });

  it('tags of leads and of contacts, with ids of their own, and 204 for none', async () => {
    const { world, get } = await startAcme();
    expect((await get('leads/tags')).status).toBe(204);
    world.leads.create({ tags: ['VIP', 'Feria'] });
    world.contacts.create({ tags: ['VIP'] });
    const [leads, contacts] = [await get('leads/tags?limit=250'), await get('contacts/tags')];
    expectAll([...leads.rows, ...contacts.rows], theirs.tag);
    expect(leads.rows.map(({ name }) => name)).toEqual(['VIP', 'Feria']);
    expect(contacts.rows[0]?.id).not.toBe(leads.rows[0]?.id);
    expect((await get('leads/tags?limit=1&page=2')).ids).toEqual([leads.rows[1]?.id]);
    expect((await get('leads/tags?filter[name]=Feria')).ids).toEqual([leads.rows[1]?.id]);
  });

  it('users for an administrator, and a JSON 403 for others', async () => {
    const { world, get } = await startAcme();
    const { body, rows } = await get('users?limit=250');
    expectAll(rows, theirs.user);
    expect(body).toMatchObject({ _total_items: 2, _page: 1, _page_count: 1 });
    expect(rows[0]).toMatchObject({ name: 'Ana', rights: { is_admin: true, is_active: true } });
    expect((await get(`users/${rows[1]?.id}`)).body).toMatchObject({ name: 'Luis' });
    world.set({ isAdministrator: false });
    for (const path of ['users', `users/${rows[1]?.id}`, 'webhooks']) {
      const answer = await get(path);
      expect([path, answer.status]).toEqual([path, 403]);
      expect(answer.headers.get('content-type')).toBe('application/problem+json');
    }
    expect((await get('leads/pipelines')).status).toBe(200);
  });

  it('the account, its loss reasons and its fields', async () => {
    const { world, get } = await startAcme();
    const account = await get('account');
    expect(account.body).toMatchObject({ id: world.id, subdomain: 'acme', currency: 'PEN' });
    expectAll([account.body], theirs.account);
    expect((await get('leads/loss_reasons')).rows[0]).toMatchObject({ name: 'Precio' });
    const phone = (await get('contacts/custom_fields')).rows[0];
    expect(phone).toMatchObject({ code: 'PHONE', type: 'multitext', entity_type: 'contacts' });
    expect((await get('leads/custom_fields')).body).toMatchObject({ _total_items: 8 });
  });

  it('incoming leads, with the ids of what waits', async () => {
    const { world, get } = await startAcme();
    const { uid, leadId, contactId } = world.unsorted.add({ lead: { name: 'Web' } });
    const [row] = (await get('leads/unsorted')).rows;
    expect(row).toMatchObject({
      uid,
      category: 'forms',
      pipeline_id: world.pipelines.main.id,
      _embedded: { contacts: [{ id: contactId }], leads: [{ id: leadId }] },
    });
    world.unsorted.decline(uid);
    expect((await get('leads/unsorted')).status).toBe(204);
    expect(world.leads.get(leadId)).toBeUndefined();
  });
});

describe('every answer', () => {
  it('can be read by our client, over a generated world', async () => {
    const { world, get } = await startAcme();
    world.generate({ leads: 250, contacts: 250 });
    world.bulkEdit('leads', { count: 20 });
    const last = [...world.leads.all()].at(-1);
    world.leads.delete(last?.id ?? 0);
    expectAll((await get('leads?limit=250&with=contacts,loss_reason')).rows, theirs.lead);
    expectAll((await get('contacts?limit=250')).rows, theirs.contact);
    expectAll((await get('leads?with=only_deleted')).rows, theirs.deletedLead);
    expectAll((await get('events?limit=250')).rows, theirs.event);
  });

  it("has a type, a date of the account's clock and an id, errors too", async () => {
    const { clock, get, call } = await startAcme();
    clock.advance(90_000);
    const [good, bad] = [await get('account'), await get('nothing')];
    expect(good.headers.get('content-type')).toBe('application/hal+json');
    expect(bad.headers.get('content-type')).toBe('application/problem+json');
    expect(bad.status).toBe(404);
    expect(Date.parse(good.headers.get('date') ?? '')).toBe((START_SECONDS + 90) * 1_000);
    const ids = [good, bad].map(({ headers }) => headers.get('x-request-id'));
    expect(new Set(ids).size).toBe(2);
    expect((await call('/nobody/api/v4/account')).status).toBe(404);
    expect((await get('account', { method: 'PUT' })).status).toBe(405);
  });

  it('is given by host as well as by path', async () => {
    const { fake, access } = await startAcme();
    const { request } = await import('node:http');
    const status = await new Promise<[number | undefined, string]>((resolve, reject) => {
      const headers = {
        host: 'acme.kommo.test',
        authorization: `Bearer ${access.longLivedToken}`,
      };
      const asked = request({
        host: '127.0.0.1',
        port: fake.port,
        path: '/api/v4/account',
        headers,
      });
      asked.on('error', reject);
      asked.on('response', (response) => {
        let text = '';
        response.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
        response.on('end', () => resolve([response.statusCode, text]));
      });
      asked.end();
    });
    expect(status[0]).toBe(200);
    expect(JSON.parse(status[1])).toMatchObject({
      subdomain: 'acme',
      _links: { self: { href: 'http://acme.kommo.test/api/v4/account' } },
    });
  });

  it('refuses an address that no web server would take', async () => {
    const { get } = await startAcme();
    const ids = Array.from({ length: 600 }, (_, index) => `filter[id][]=${20_000_000 + index}`);
    const answer = await get(`leads?${ids.join('&')}`);
    expect([answer.status, answer.headers.get('content-type')]).toEqual([
      414,
      'text/html; charset=utf-8',
    ]);
  });
});
