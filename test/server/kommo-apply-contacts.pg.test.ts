import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { sql } from '../../platform/sql.ts';
import { applyKommoContacts } from '../../server/commands/apply-kommo-contacts.ts';
import { contactDocument, T } from './kommo-apply-documents.ts';
import { openApplyWorld, type ApplyWorld } from './kommo-apply-world.ts';

let world: ApplyWorld;

beforeAll(async () => {
  world = await openApplyWorld();
});

afterAll(() => world.close());

const fieldsOf = async (id: number): Promise<unknown> =>
  JSON.parse((await world.contact(id))['custom_fields'] ?? '');
const idOf = async (id: number): Promise<number> => Number((await world.contact(id))['id']);

describe('a Kommo contact', () => {
  it('becomes a contact with all that Kommo says', async () => {
    const id = world.next();
    const applied = await world.contacts({
      id,
      name: 'Rosa Quispe',
      lastName: 'Quispe',
      phones: ['987 654 321', '+51912345678', 'ask for Juan'],
      emails: ['rosa@x.pe', 'rosa@y.pe'],
      fields: { Position: 'Gerente', Cursos: ['Ingles', 'Excel'] },
      tags: [{ id: id + 1, name: 'VIP' }],
    });
    expect(applied).toEqual({ changed: 1, unchanged: 0 });
    const contact = await world.contact(id);
    expect(contact).toMatchObject({
      name: 'Rosa Quispe',
      last_name: 'Quispe',
      phone: '51987654321',
      email: 'rosa@x.pe',
      kommo_id: String(id),
      source: 'kommo',
    });
    expect(await fieldsOf(id)).toEqual({
      PHONE: ['ask for Juan'],
      EMAIL: ['rosa@y.pe'],
      Position: 'Gerente',
      Cursos: ['Ingles', 'Excel'],
    });
    expect(new Date(contact['created_at'] ?? '').getTime()).toBe((T - 1_000) * 1000);
    expect(await world.identities(Number(contact['id']))).toEqual([
      `kommo ${id}`,
      'phone 51912345678',
      'phone 51987654321',
    ]);
    expect(await world.tagsOf('contact', Number(contact['id']))).toEqual(['VIP']);
  });

  it('loses what it loses over there, and keeps what people wrote', async () => {
    const id = world.next();
    const mobile = world.newNumber().phone;
    const other = world.newNumber().phone;
    const vip = { id: id + 1, name: `VIP ${id}` };
    const full = { id, lastName: 'Quispe', phones: [`+${mobile}`, `+${other}`], tags: [vip] };
    await world.contacts({ ...full, emails: ['r@x.pe'], fields: { Edad: '34', Origen: 'Web' } });
    const contactId = await idOf(id);
    await world.db.query(sql`
      update public.contacts
      set custom_name = 'Rosi', notes = 'likes tea', custom_fields = custom_fields || '{"Talla": "M"}'
      where id = ${contactId}`);
    await world.db.query(sql`
      with tag as (
        insert into public.tags (account_id, name) values (${world.accountId}, ${`ours ${id}`}) returning id
      )
      insert into public.contact_tags (account_id, contact_id, tag_id)
      select ${world.accountId}, ${contactId}, id from tag`);

    await world.contacts({ ...full, at: T + 1, phones: [`+${other}`], fields: { Edad: '35' } });
    expect(await world.contact(id)).toMatchObject({
      phone: other,
      email: null,
      custom_name: 'Rosi',
    });
    expect(await fieldsOf(id)).toEqual({ Edad: '35', Talla: 'M' });
    expect(await world.identities(contactId)).toEqual([`kommo ${id}`, `phone ${other}`]);

    await world.contacts({ id, at: T + 2, name: '' });
    expect(await world.contact(id)).toMatchObject({
      name: null,
      last_name: null,
      phone: null,
      custom_name: 'Rosi',
      notes: 'likes tea',
    });
    expect(await fieldsOf(id)).toEqual({ Talla: 'M' });
    expect(await world.identities(contactId)).toEqual([`kommo ${id}`]);
    expect(await world.tagsOf('contact', contactId)).toEqual([`ours ${id}`]);
  });

  it('leaves alone what Kommo never had', async () => {
    const id = world.next();
    const { phone } = world.newNumber();
    await world.db.query(sql`
      insert into public.contacts (account_id, name, last_name, email, phone, custom_fields, source)
      values (${world.accountId}, 'Typed', 'Here', 'typed@x.pe', ${phone}, '{"Origen": "feria"}', 'import')`);
    await world.contacts({ id, name: '', phones: [`+${phone}`] });
    expect(await world.contact(id)).toMatchObject({
      name: 'Typed',
      last_name: 'Here',
      email: 'typed@x.pe',
      phone,
      source: 'import',
    });
    await world.contacts({ id, at: T + 1, name: 'Rosa', phones: [`+${phone}`] });
    expect(await world.contact(id)).toMatchObject({ name: 'Rosa', email: 'typed@x.pe' });
    expect(await fieldsOf(id)).toEqual({ Origen: 'feria' });
  });

  it('keeps the number that WhatsApp knows it by', async () => {
    const id = world.next();
    const { phone, jid } = world.newNumber();
    await world.contacts({ id, phones: [`+${phone}`] });
    await world.receive({ jid });
    await world.contacts({ id, at: T + 1 });
    expect(await world.contact(id)).toMatchObject({ phone, jid });
    expect(await world.identities(await idOf(id))).toContain(`phone ${phone}`);
  });

  it('is told by its tags, found by name whatever the case, and by nothing else of a tag', async () => {
    const id = world.next();
    await world.db.query(sql`
      insert into public.tags (account_id, name, color) values (${world.accountId}, ${`Gold ${id}`}, '#112233')`);
    const tags = [
      { id: id + 1, name: `GOLD ${id}`, color: 'EBEBEB' },
      { id: id + 2, name: `New ${id}`, color: 'AABBCC' },
      { id: id + 3, name: ' ' },
    ];
    await world.contacts({ id, tags });
    const contactId = await idOf(id);
    expect(await world.tagsOf('contact', contactId)).toEqual([`Gold ${id}`, `New ${id}`]);
    const colors = await world.db.query(sql`
      select color from public.tags where name in (${`Gold ${id}`}, ${`New ${id}`}) order by name`);
    expect(colors.map((row) => row['color'])).toEqual(['#112233', '#aabbcc']);
    const renamed = tags.map((tag) => ({ ...tag, name: `${tag.name}!` })).slice(0, 2);
    expect(await world.contacts({ id, at: T + 1, tags: renamed })).toMatchObject({ changed: 0 });
    const written = await world.logged(() =>
      world.contacts({ id, at: T + 2, tags: renamed.slice(1) }),
    );
    expect(written).toEqual(['contact_tags: DELETE']);
    expect(await world.tagsOf('contact', contactId)).toEqual([`New ${id}`]);
  });
});

describe('a page of contacts', () => {
  it('of which nothing is new costs one statement and nothing else', async () => {
    const ids = [world.next(), world.next(), world.next()];
    const given = ids.map((id) => ({
      id,
      phones: [`+${world.newNumber().phone}`],
      fields: { Edad: '34' },
      tags: [{ id: id + 1, name: `Tag ${id}` }],
    }));
    await world.contacts(...given);
    const state = () =>
      world.all(sql`
        select 'look ' || kommo_id || ' ' || xmin as line from private.kommo_contacts
        union all select sequencename || ' ' || last_value from pg_sequences
        union all select 'row ' || id || ' ' || xmin || ' ' || xmax from public.contacts
        order by 1`);
    const before = await state();
    const documents = given.map((one) => contactDocument({ ...one, at: T + 9 }));
    const written = await world.logged(async () => {
      const { value, statements } = await world.counted((tx) =>
        applyKommoContacts(tx, world.scope, documents),
      );
      expect(value).toEqual({ changed: 0, unchanged: 3 });
      expect(statements).toBe(1);
    });
    expect(written).toEqual([]);
    expect(await state()).toEqual(before);
  });

  it('writes the rows that differ, and no other', async () => {
    const ids = [world.next(), world.next(), world.next(), world.next()];
    const given = ids.map((id) => ({
      id,
      fields: { Edad: '34' },
      tags: [{ id: id + 1, name: `Tag ${id}` }],
    }));
    await world.contacts(...given);
    const [, second, , fourth] = given;
    const written = await world.logged(async () => {
      const applied = await world.contacts(
        ...given.map((one) => ({
          ...one,
          at: T + 1,
          ...(one === second && { fields: { Edad: '35' } }),
          ...(one === fourth && { tags: [] }),
        })),
      );
      expect(applied).toEqual({ changed: 2, unchanged: 2 });
    });
    expect(written.toSorted()).toEqual(['contact_tags: DELETE', 'contacts: UPDATE']);
  });

  it('costs as many statements for 250 contacts as for one', async () => {
    const tag = (id: number, n: number) => ({ id: id + n, name: `Tag ${n}` });
    const page = (at: number, change: string) =>
      Array.from({ length: 250 }, (_unused, n) => {
        const id = 50_000 + n * 10;
        return contactDocument({
          id,
          at,
          name: `Person ${n} ${change}`,
          phones:
            n % 3 === 0
              ? []
              : [`+519${50_000_000 + n + (n % 5 === 0 ? at - T : 0)}`, `+519${51_000_000 + n}`],
          fields: { Edad: `${n}${change}` },
          tags: [tag(id, 1 + (n % 4)), tag(id, 5)],
        });
      });
    const count = async (documents: ReturnType<typeof page>) =>
      world.counted((tx) => applyKommoContacts(tx, world.scope, documents));
    const first = await count(page(T, 'first'));
    expect(first.value.changed).toBe(250);
    expect(first.statements).toBeLessThanOrEqual(11);
    const mixed = [...page(T + 1, 'second').slice(100), contactDocument({ id: world.next() })];
    const second = await count(mixed);
    expect(second.value.changed).toBe(151);
    expect(second.statements).toBeLessThanOrEqual(12);
  });

  it('that is older than what was written changes nothing', async () => {
    const id = world.next();
    await world.contacts({ id, at: T + 10, name: 'New' });
    expect(await world.contacts({ id, at: T + 9, name: 'Old' })).toEqual({
      changed: 0,
      unchanged: 1,
    });
    expect(await world.contact(id)).toMatchObject({ name: 'New' });
    await world.contacts({ id, at: T + 10, name: 'Newer in the same second' });
    expect(await world.contact(id)).toMatchObject({ name: 'Newer in the same second' });
  });

  it('may hold one contact twice: the newer look counts', async () => {
    const id = world.next();
    const applied = await world.contacts(
      { id, at: T + 2, name: 'New' },
      { id, at: T + 1, name: 'Old' },
    );
    expect(applied).toEqual({ changed: 1, unchanged: 1 });
    expect(await world.contact(id)).toMatchObject({ name: 'New' });
  });

  it('is written whatever is in it', async () => {
    const id = world.next();
    const long = '😀'.repeat(20_000);
    const nested = Array.from({ length: 5_000 }).reduce<unknown>((inner) => [inner], 'deep');
    await world.contacts({
      id,
      name: `A\0\ud800${'x'.repeat(1_000)}`,
      lastName: '\udc00',
      phones: ['\0', '9'.repeat(500), `\u200e+${world.newNumber().phone}`],
      emails: [`${'e'.repeat(300)}@x.pe`, 'fine@x.pe'],
      fields: {
        long,
        'a\0\ud801b': 'x\0\ud802y',
        ['__proto__']: 'own',
        nested,
        huge: 1e308,
        odd: { 'k\0': ['\ud803', null, Number.MIN_VALUE] },
        list: Array.from({ length: 3_000 }, (_unused, n) => `${n}${'y'.repeat(50)}`),
        small: 'stays',
      },
      tags: [{ id: id + 1, name: `\0${'t'.repeat(500)}\ud804` }],
    });
    const contact = await world.contact(id);
    expect(contact).toMatchObject({ email: 'fine@x.pe', last_name: '\ufffd' });
    expect(contact['name']).toBe(`A\ufffd${'x'.repeat(198)}`);
    const fields = (await fieldsOf(id)) as Record<string, unknown>;
    expect(fields['small']).toBe('stays');
    expect(Object.getOwnPropertyDescriptor(fields, '__proto__')?.value).toBe('own');
    expect(fields['a\ufffdb']).toBe('x\ufffdy');
    expect(Array.from(String(fields['long'])).length).toBe(8_000);
    expect(fields['list']).toBeUndefined();
    expect(await world.contacts({ id, at: T + 1 })).toMatchObject({ changed: 1 });
    const huge = { at: T + 1e15, fields: { a: 'b' } };
    await world.contacts({ id, ...huge });
    await world.contacts({ id, ...huge, isDeleted: true });
    expect((await world.contact(id))['kommo_deleted_at']).toContain('9999-12-31');
  });

  it('stays within what a row may hold beside what people wrote there', async () => {
    const id = world.next();
    const fields = Object.fromEntries(
      Array.from({ length: 7 }, (_unused, n) => [`field ${n}`, 'x'.repeat(7_000)]),
    );
    await world.contacts({ id });
    const contactId = await idOf(id);
    await world.db.query(sql`
      update public.contacts set custom_fields = jsonb_build_object('ours', repeat('o', 30000))
      where id = ${contactId}`);
    await world.contacts({ id, at: T + 1, fields });
    expect(Object.keys((await fieldsOf(id)) as object)).toEqual(['ours']);
    await world.contacts({ id, at: T + 2, fields: { small: 'x' } });
    expect(Object.keys((await fieldsOf(id)) as object).toSorted()).toEqual(['ours', 'small']);
  });
});
