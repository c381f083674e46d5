import { request as httpRequest, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { mkdtemp } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { beforeAll, describe, expect, inject, test } from 'vitest';
import { openCsv } from '../../platform/csv/read-csv.ts';
import { sql } from '../../platform/sql.ts';
import { eventually } from '../support/services.ts';
import {
  counts,
  countsOf,
  newAccount,
  startImportWorld,
  type ImportWorld,
} from './import-world.ts';
import type { Answer, Caller } from './support.ts';

let world: ImportWorld;
let one: Caller;
let two: Caller;

beforeAll(async () => {
  world = await startImportWorld(await mkdtemp(join(inject('runDirectory'), 'exports-')));
  one = await world.api.account('one');
  two = await world.api.account('two');
});

const get = (caller: { token: string } | undefined, path: string): Promise<Answer> =>
  world.api.ask(caller, 'GET', path);

/** The rows of a file by their titles. */
async function parse(text: string): Promise<Record<string, string>[]> {
  const { records } = await openCsv(Readable.from([Buffer.from(text)]), { bytesMax: 2 ** 26 });
  let titles: string[] | undefined;
  const rows: Record<string, string>[] = [];
  for await (const { fields } of records) {
    if (titles) rows.push(Object.fromEntries(titles.map((title, at) => [title, fields[at] ?? ''])));
    else titles = fields;
  }
  return rows;
}

describe('contacts as a file', () => {
  test('have their titles, texts as people read them, tags and custom fields', async () => {
    await world.api.owner.query(sql`
      update public.contacts
      set notes = '=cmd()', custom_fields = '{"Talla": "M", "Número": 7}'
      where id = ${one.contactIds[0]}`);
    const answer = await get(one, '/api/contacts/export.csv?order=asc');
    expect(answer.status).toBe(200);
    expect(answer.headers['content-type']).toBe('text/csv; charset=utf-8');
    expect(answer.headers['content-disposition']).toMatch(
      /^attachment; filename="contacts-\d{4}-\d\d-\d\d\.csv"$/,
    );
    const rows = await parse(answer.text);
    expect(rows).toHaveLength(one.contactIds.length);
    const row = rows.find(({ id }) => id === String(one.contactIds[0]));
    const shown = (await get(one, `/api/contacts/${one.contactIds[0]}`)).body.data;
    expect(row).toMatchObject({
      display_name: 'Person 1 of one',
      phone: '+51999000001',
      is_group: 'false',
      // A spreadsheet would run it.
      notes: "'=cmd()",
      created_at: shown.created_at,
      tags: shown.tags.map(({ name }: { name: string }) => name).join(', '),
      'custom_fields.Talla': 'M',
      'custom_fields.Número': '7',
    });
  });

  test('are those the list shows for the same filters, search and sort', async () => {
    for (const query of [
      'has_phone=true',
      `tag_ids=${one.tagIds[0]}`,
      'search=person%203',
      'do_not_contact=true&sort=display_name&order=asc',
      'sort=updated_at',
    ]) {
      const list = await get(one, `/api/contacts?${query}&limit=200`);
      const rows = await parse((await get(one, `/api/contacts/export.csv?${query}`)).text);
      expect(rows.map(({ id }) => Number(id))).toEqual(
        list.body.data.map(({ id }: { id: number }) => id),
      );
    }
    for (const query of [
      'limit=5',
      'cursor=x',
      'page=2',
      'sort=email',
      'separator=x',
      'colour=red',
    ])
      expect((await get(one, `/api/contacts/export.csv?${query}`)).status).toBe(400);
  });

  test('come back as they were when the file is imported again', async () => {
    const caller = await newAccount(world);
    await world.importFile(
      caller,
      'name,phone,email,tags,Distrito,notas\nAna,987654321,ana@example.com,"a,b",Lima,"=1+1\nlínea"\nLuis,+34612345678,,,,\'x',
    );
    const { text } = await get(caller, '/api/contacts/export.csv?separator=;&bom=true&order=asc');
    expect(text.startsWith('\uFEFFid;')).toBe(true);
    expect(countsOf(await world.importFile(caller, text))).toEqual(counts(0, 0, 2, 0));
    const other = await newAccount(world);
    expect(countsOf(await world.importFile(other, text))).toEqual(counts(2, 0, 0, 0));
    const drop = (rows: Record<string, string>[]) =>
      rows.map((row) => ({ ...row, id: '', created_at: '', updated_at: '' }));
    const again = (await get(other, '/api/contacts/export.csv?order=asc')).text;
    const before = (await get(caller, '/api/contacts/export.csv?order=asc')).text;
    expect(drop(await parse(again))).toEqual(drop(await parse(before)));
  });

  test('come in batches, one statement each, and every row once', async () => {
    const caller = await newAccount(world);
    await world.api.owner.query(sql`
      insert into public.contacts (account_id, name, created_at)
      select ${caller.accountId}, 'Person ' || n, now() - (n / 7) * interval '1 second'
      from generate_series(1, 3500) as n`);
    world.api.statements.length = 0;
    const rows = await parse((await get(caller, '/api/contacts/export.csv')).text);
    expect(new Set(rows.map(({ id }) => id)).size).toBe(3_500);
    expect(rows).toHaveLength(3_500);
    const own = world.api.statements.filter((text) => text.includes('"public"."contacts"'));
    // Four batches, and one for the names of custom fields.
    expect(own).toHaveLength(5);
  });
});

describe('leads as a file', () => {
  test('have the names of their stage and contact', async () => {
    const list = await get(one, '/api/leads?status=open&limit=200');
    const answer = await get(one, '/api/leads/export.csv?status=open');
    const rows = await parse(answer.text);
    const [lead] = list.body.data;
    expect(rows).toHaveLength(list.body.data.length);
    expect(rows[0]).toMatchObject({
      id: String(lead.id),
      title: lead.title,
      value: String(lead.value.toFixed(2)),
      'stage.name': lead.stage.name,
      'contact.display_name': lead.contact.display_name,
      'contact.phone': lead.contact.phone ? `+${lead.contact.phone}` : '',
    });
    expect(Object.keys(rows[0] ?? {})).not.toContain('stage.color');
  });
});

describe('an export', () => {
  test('is of its account alone, and for whoever may see its rows', async () => {
    const rows = await parse((await get(two, '/api/contacts/export.csv')).text);
    expect(
      rows.map(({ display_name }) => display_name).every((name) => name?.endsWith('two')),
    ).toBe(true);
    expect((await get(undefined, '/api/contacts/export.csv')).status).toBe(401);
    const contacts = { token: await world.api.tokenOf(one, ['contacts']) };
    const leads = { token: await world.api.tokenOf(one, ['leads']) };
    expect((await get(contacts, '/api/leads/export.csv')).status).toBe(403);
    expect((await get(leads, '/api/contacts/export.csv')).status).toBe(403);
    expect((await get(leads, '/api/leads/export.csv')).status).toBe(200);
  });

  test('asked for by its headers reads nothing', async () => {
    world.api.statements.length = 0;
    const answer = await world.api.ask(one, 'HEAD', '/api/contacts/export.csv');
    expect([answer.status, answer.headers['content-type']]).toEqual([
      200,
      'text/csv; charset=utf-8',
    ]);
    expect(world.api.statements.filter((text) => text.includes('contacts'))).toEqual([]);
  });

  const batches = (): number =>
    world.api.statements.filter((text) => text.includes('as sorted_by')).length;

  /** An export of 60 MB that its caller does not read: as much as the sockets hold is on its way. */
  async function askSlowly(): Promise<{ caller: Caller; response: IncomingMessage }> {
    const caller = await newAccount(world);
    await world.api.owner.query(sql`
      insert into public.contacts (account_id, name, notes)
      select ${caller.accountId}, 'Person ' || n, repeat('n', 10000) from generate_series(1, 6000) as n`);
    if (!world.api.app.server.listening) await world.api.app.listen({ host: '127.0.0.1', port: 0 });
    const { port } = world.api.app.server.address() as AddressInfo;
    world.api.statements.length = 0;
    const asked = httpRequest(`http://127.0.0.1:${port}/api/contacts/export.csv`, {
      headers: { authorization: `Bearer ${caller.token}` },
    });
    const response = await new Promise<IncomingMessage>((resolve, reject) => {
      asked.on('response', resolve).on('error', reject).end();
    });
    expect(response.statusCode).toBe(200);
    response.pause();
    let last = -1;
    await eventually(
      () => {
        const isStill = batches() === last;
        last = batches();
        return isStill;
      },
      { everyMs: 500 },
    );
    expect(last).toBeLessThan(5);
    asked.on('error', () => undefined);
    response.on('error', () => undefined);
    return { caller, response };
  }

  test('waits for a caller who does not read, and ends when the caller leaves', async () => {
    const { response } = await askSlowly();
    response.destroy();
    await eventually(() => world.api.database.stats().idle === world.api.database.stats().total);
    expect(batches()).toBeLessThan(6);
  });

  test('ends when its caller is shut out', async () => {
    const { caller, response } = await askSlowly();
    await world.api.owner.query(sql`
      update public.sessions set revoked_at = now() where account_id = ${caller.accountId}`);
    response.resume();
    await new Promise((resolve) => response.once('close', resolve));
    expect(response.complete).toBe(false);
    expect(batches()).toBeLessThan(6);
  });
});
