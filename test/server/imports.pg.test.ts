import { mkdtemp } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, inject, test } from 'vitest';
import { sql } from '../../platform/sql.ts';
import {
  contactsOf,
  counts,
  countsOf,
  newAccount,
  startImportWorld,
  type ImportWorld,
  type Row,
} from './import-world.ts';
import type { Caller } from './support.ts';

let world: ImportWorld;

beforeAll(async () => {
  world = await startImportWorld(await mkdtemp(join(inject('runDirectory'), 'imports-')));
});

describe('an import', () => {
  test('answers 202 with a row, and a worker makes contacts of the file', async () => {
    const caller = await newAccount(world);
    const file = [
      'Nombre;Teléfono;Correo;Empresa;Edad;Etiquetas;Distrito;Notas',
      'Ana Quispe;987 654 321;ana@example.com;Andes;34;VIP, Lima;Miraflores;"Dos\nlíneas"',
      ';;;;;;;',
      'Luis Rojas;+34 612 345 678;;;;vip;;',
    ].join('\r\n');
    const made = await world.post(caller, '/api/imports', {}, { bytes: file });
    expect(made.status).toBe(202);
    expect(made.body.data).toMatchObject({
      filename: 'people.csv',
      size: Buffer.byteLength(file),
      encoding: 'utf-8',
      separator: ';',
      state: 'pending',
      is_dry_run: false,
      created_by: caller.userId,
    });
    expect(made.text).not.toContain('object_key');
    expect(await world.run()).toBe(1);
    const done = (await world.api.ask(caller, 'GET', `/api/imports/${made.body.data.id}`)).body
      .data;
    expect(countsOf(done)).toEqual(counts(2, 0, 0, 0));
    expect(done.processed_bytes).toBe(done.size);
    const [ana, luis] = await contactsOf(world, caller);
    expect(ana).toMatchObject({
      name: 'Ana Quispe',
      phone: '51987654321',
      email: 'ana@example.com',
      company: 'Andes',
      age: 34,
      notes: 'Dos\nlíneas',
      source: 'import',
      custom_fields: { Distrito: 'Miraflores' },
    });
    expect(ana.tags.map((tag: Row) => tag.name)).toEqual(['Lima', 'VIP']);
    expect(luis).toMatchObject({ name: 'Luis Rojas', phone: '34612345678' });
    expect(luis.tags.map((tag: Row) => tag.name)).toEqual(['VIP']);
  });

  test('of the same file again changes nothing and writes no row, with as few statements', async () => {
    const caller = await newAccount(world);
    const rows = Array.from(
      { length: 1_200 },
      (_, n) => `Person ${n};51987${String(n).padStart(6, '0')};p${n}@example.com;a,b;x`,
    );
    const file = ['name;phone;email;tags;Distrito', ...rows].join('\n');
    world.statements.length = 0;
    expect(countsOf(await world.importFile(caller, file))).toEqual(counts(1_200, 0, 0, 0));
    const perFile = world.statements.length;
    const before = await fingerprintOf(caller);
    world.statements.length = 0;
    expect(countsOf(await world.importFile(caller, file))).toEqual(counts(0, 0, 1_200, 0));
    expect(
      world.statements.some((text) =>
        /^\s*(insert into|update) public\.(contacts|tags|contact_tags)/.test(text),
      ),
    ).toBe(false);
    expect(world.statements.length).toBeLessThan(perFile);
    // Three batches, whatever is in them.
    expect(perFile).toBeLessThanOrEqual(3 * 10 + 10);
    expect(await fingerprintOf(caller)).toBe(before);
  });

  test('updates what differs, keeps what the file does not say, and adds tags and custom fields', async () => {
    const caller = await newAccount(world);
    await world.importFile(
      caller,
      'name,phone,email,company,tags,Zona\nAna,987654321,ana@example.com,Andes,a,Norte\nLuis,987654322,,,,',
    );
    const done = await world.importFile(
      caller,
      'nombre,telefono,email,company,tags,Zona,Talla\nAna María,0051 987 654 321,,,"A,b",,M\nLuis,987654322,,,,,\n',
    );
    expect(countsOf(done)).toEqual(counts(0, 1, 1, 0));
    const [ana] = await contactsOf(world, caller);
    expect(ana).toMatchObject({
      name: 'Ana María',
      email: 'ana@example.com',
      company: 'Andes',
      custom_fields: { Zona: 'Norte', Talla: 'M' },
    });
    expect(ana.tags.map((tag: Row) => tag.name)).toEqual(['a', 'b']);
  });

  test('finds people by phone however it is dialled, by WhatsApp address, and by e-mail', async () => {
    const caller = await newAccount(world);
    await world.api.owner.query(sql`
      insert into public.contacts (account_id, jid, phone, email, name)
      values
        (${caller.accountId}, '5215512345678@s.whatsapp.net', '5215512345678', null, 'Mexican'),
        (${caller.accountId}, '51914253647@s.whatsapp.net', null, null, 'By WhatsApp'),
        (${caller.accountId}, null, null, 'Mail@Example.com', 'By mail')`);
    const done = await world.importFile(
      caller,
      [
        'phone,jid,email,company',
        '+52 55 1234 5678,,,A',
        '914253647,,,B',
        ',,mail@example.com,C',
        ',51914253647@c.us,,D',
        // Shares the address of an office, and is somebody else.
        '924253647,,mail@example.com,E',
        '934253647,,mail@example.com,F',
      ].join('\n'),
    );
    expect(countsOf(done)).toEqual(counts(1, 5, 0, 0));
    const rows = await contactsOf(world, caller);
    expect(rows.map(({ phone, company }: Row) => [phone, company])).toEqual([
      ['5215512345678', 'A'],
      ['51914253647', 'D'],
      ['51924253647', 'E'],
      ['51934253647', 'F'],
    ]);
  });

  test('takes several rows of one person for one, in a batch and across batches', async () => {
    const caller = await newAccount(world);
    const others = Array.from(
      { length: 600 },
      (_, n) => `Other ${n},51955${String(n).padStart(6, '0')},`,
    );
    const file = [
      'name,phone,email',
      'Ana,987654321,',
      'Ana,51987654321,ana@example.com',
      ...others,
      'Ana,+51987654321,ana@example.com',
    ].join('\n');
    expect(countsOf(await world.importFile(caller, file))).toEqual(counts(601, 1, 1, 0));
    expect(countsOf(await world.importFile(caller, file))).toEqual(counts(0, 0, 603, 0));
  });

  test('finds who has nothing but a name by it, and nobody of whom more is known', async () => {
    const caller = await newAccount(world);
    const file = 'name,last name,phone\nAna,,\nAna,Ruiz,\nAna,,987654321\n,Solo,\nAna,,\n';
    expect(countsOf(await world.importFile(caller, file))).toEqual(counts(4, 0, 1, 0));
    expect(countsOf(await world.importFile(caller, file))).toEqual(counts(0, 0, 5, 0));
    const people = await contactsOf(world, caller);
    expect(people.map(({ name, last_name, phone }) => [name, last_name, phone])).toEqual([
      ['Ana', undefined, undefined],
      ['Ana', 'Ruiz', undefined],
      ['Ana', undefined, '51987654321'],
      [undefined, 'Solo', undefined],
    ]);
  });

  test('that contradicts itself ends with what comes last, and changes nothing the second time', async () => {
    const caller = await newAccount(world);
    const file = 'name,phone,Zona\nAna,987654321,Norte\nAna María,987654321,Sur';
    expect(countsOf(await world.importFile(caller, file))).toEqual(counts(1, 1, 0, 0));
    const before = await fingerprintOf(caller);
    expect(countsOf(await world.importFile(caller, file))).toEqual(counts(0, 0, 2, 0));
    expect(await fingerprintOf(caller)).toBe(before);
    const [ana] = await contactsOf(world, caller);
    expect(ana).toMatchObject({ name: 'Ana María', custom_fields: { Zona: 'Sur' } });
  });

  test('does not take the second number of a merged contact for its main one', async () => {
    const caller = await newAccount(world);
    await world.importFile(caller, 'name,phone\nAna,987654321');
    const [ana] = await contactsOf(world, caller);
    await world.api.owner.query(sql`
      insert into public.contact_identities (account_id, contact_id, kind, value)
      values (${caller.accountId}, ${ana.id}, 'phone', '51987654322')`);
    const done = await world.importFile(caller, 'company,phone\nAndes,987654322');
    expect(countsOf(done)).toEqual(counts(0, 1, 0, 0));
    const [same] = await contactsOf(world, caller);
    expect(same).toMatchObject({ id: ana.id, phone: '51987654321', company: 'Andes' });
  });

  test('says of each row that cannot be imported what is wrong with which field', async () => {
    const caller = await newAccount(world);
    const file = [
      'name,phone,email,age,do_not_contact,jid',
      'Good,987654321,,,no,',
      'Bad,12,not a mail,two,perhaps,x',
      ',,,40,,',
      `${'n'.repeat(300)},,,,,`,
      '"Two\nlines",999999999,,,,',
      'Barred,987654322,,,sí,',
    ].join('\n');
    const done = await world.importFile(caller, file);
    expect(countsOf(done)).toEqual(counts(2, 0, 0, 4));
    const errors = await world.errorsOf(caller, done.id);
    expect(errors.map(({ line, field }) => [line, field])).toEqual([
      [3, 'phone'],
      [3, 'email'],
      [3, 'age'],
      [3, 'do_not_contact'],
      [3, 'jid'],
      [4, undefined],
      [5, 'name'],
      [6, 'phone'],
    ]);
    expect(errors[0]?.message).toBe('A phone number has 7 to 15 digits.');
    expect(errors[6]?.message).toBe('is longer than 200 characters');
    const [good, barred] = await contactsOf(world, caller);
    expect(good.do_not_contact).toBe(false);
    expect(barred).toMatchObject({ do_not_contact: true, do_not_contact_by: caller.userId });
    // What somebody was barred for is not taken back by a list.
    await world.importFile(caller, 'phone,do_not_contact\n987654322,no');
    expect((await contactsOf(world, caller))[1].do_not_contact).toBe(true);
  });

  test('keeps the first thousand errors and counts them all', async () => {
    const caller = await newAccount(world);
    const file = ['name,phone', ...Array.from({ length: 1_300 }, () => 'x,1')].join('\n');
    const done = await world.importFile(caller, file);
    expect(countsOf(done)).toEqual(counts(0, 0, 0, 1_300));
    const list = await world.api.ask(
      caller,
      'GET',
      `/api/import_errors?import_id=${done.id}&limit=1`,
    );
    expect(list.body.total).toBe(1_000);
  });

  test('that is only tried counts the same and writes nothing but its own row', async () => {
    const caller = await newAccount(world);
    await world.importFile(caller, 'name,phone,tags\nAna,987654321,a');
    const file = 'name,phone,tags\nAna,987654321,"a,b"\nLuis,987654322,\nAna,987654321,a\nx,1,';
    const before = await fingerprintOf(caller);
    const tried = await world.importFile(caller, file, { dry_run: 'true' });
    expect(tried.is_dry_run).toBe(true);
    expect(countsOf(tried)).toEqual(counts(1, 1, 1, 1));
    expect(await world.errorsOf(caller, tried.id)).toHaveLength(1);
    expect(await fingerprintOf(caller)).toBe(before);
    expect(countsOf(await world.importFile(caller, file))).toEqual(counts(1, 1, 1, 1));
  });

  test('reads phones as its own country types them, else as the account does', async () => {
    const caller = await newAccount(world);
    await world.importFile(caller, 'name,phone\nAna,11 2345 6789', { country: 'AR' });
    await world.importFile(caller, 'name,phone\nLuis,987654321');
    expect((await contactsOf(world, caller)).map((row) => row.phone)).toEqual([
      '541123456789',
      '51987654321',
    ]);
  });

  test('takes the mapping it is given, and what a spreadsheet was guarded against', async () => {
    const caller = await newAccount(world);
    const mapping = JSON.stringify({
      columns: [
        { index: 2, field: 'name' },
        { index: 0, field: 'phone' },
        { index: 1, field: 'custom_fields.Código' },
      ],
    });
    await world.importFile(caller, "a,b,c\n'+51 987 654 321,'=1+1,'Ana", { mapping });
    expect((await contactsOf(world, caller))[0]).toMatchObject({
      name: "'Ana",
      phone: '51987654321',
      custom_fields: { Código: '=1+1' },
    });
  });
});

/** Everything an import of contacts can write, but for the imports themselves: rows with their versions. */
async function fingerprintOf({ accountId }: Caller): Promise<string> {
  const [row] = await world.api.owner.query(sql`
    select md5(string_agg(line, ' ' order by line)) as sum
    from (
      select 'c' || id || xmin || updated_at as line from public.contacts where account_id = ${accountId}
      union all select 't' || id || xmin from public.tags where account_id = ${accountId}
      union all select 'l' || id || xmin from public.contact_tags where account_id = ${accountId}
      union all select 'i' || id || xmin from public.contact_identities where account_id = ${accountId}
    ) as lines`);
  return row?.['sum'] ?? '';
}
