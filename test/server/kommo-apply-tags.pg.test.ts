import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { sql } from '../../platform/sql.ts';
import { applyKommoAccount, applyKommoUsers } from '../../server/commands/apply-kommo-account.ts';
import { applyKommoContacts } from '../../server/commands/apply-kommo-contacts.ts';
import type { KommoScope } from '../../server/commands/apply-kommo-looks.ts';
import { applyKommoTags } from '../../server/commands/apply-kommo-tags.ts';
import type { KommoTag } from '../../server/kommo/documents.ts';
import { contactDocument, T } from './kommo-apply-documents.ts';
import { openApplyWorld, type ApplyWorld } from './kommo-apply-world.ts';

let world: ApplyWorld;

beforeAll(async () => {
  world = await openApplyWorld();
});

afterAll(() => world.close());

describe('tags of Kommo', () => {
  const applyTags = (scope: KommoScope, entity: 'lead' | 'contact', ...tags: KommoTag[]) =>
    world.run((tx) => applyKommoTags(tx, scope, entity, tags));
  const contact = (scope: KommoScope, id: number, ...tags: KommoTag[]) =>
    world.run((tx) => applyKommoContacts(tx, scope, [contactDocument({ id, tags })]));
  const tagsOf = async (id: number) =>
    world.tagsOf('contact', Number((await world.contact(id))['id']));
  const idOf = async (name: string) =>
    (
      await world.all(
        sql`select id from public.tags where account_id = ${world.accountId} and name = ${name}`,
      )
    )[0]?.['id'];

  it('are tags of ours by name, in their colour when they are new', async () => {
    const scope = await world.newConnection();
    const id = world.next();
    await world.db.query(sql`
      insert into public.tags (account_id, name) values (${world.accountId}, ${`Known ${id}`})`);
    const tags = [
      { id, name: `KNOWN ${id}`, color: 'AABBCC' },
      { id: id + 1, name: `New ${id}`, color: 'AABBCC' },
      { id: id + 2, name: '' },
    ];
    const written = await world.logged(async () => {
      expect(await applyTags(scope, 'lead', ...tags)).toBe(2);
      expect(await applyTags(scope, 'contact', ...tags)).toBe(2);
    });
    expect(written).toEqual(['tags: INSERT']);
    const { statements } = await world.counted((tx) => applyKommoTags(tx, scope, 'lead', tags));
    expect(statements).toBe(1);
    expect(await world.all(sql`select color from public.tags where name = ${`New ${id}`}`)).toEqual(
      [{ color: '#aabbcc' }],
    );
  });

  it('are renamed with theirs, also when one takes the name that another gives up', async () => {
    const scope = await world.newConnection();
    const id = world.next();
    const [one, two] = [
      { id, name: `One ${id}` },
      { id: id + 1, name: `Two ${id}` },
    ];
    await applyTags(scope, 'contact', one, two);
    await contact(scope, id, one);
    const [first, second] = [await idOf(one.name), await idOf(two.name)];
    const written = await world.logged(() =>
      applyTags(scope, 'contact', { ...one, name: two.name }, { ...two, name: `Three ${id}` }),
    );
    expect(written).toEqual(['tags: UPDATE', 'tags: UPDATE']);
    expect(await idOf(two.name)).toBe(first);
    expect(await idOf(`Three ${id}`)).toBe(second);
    expect(await tagsOf(id)).toEqual([two.name]);
    expect(await applyTags(scope, 'contact', { ...one, name: two.name.toUpperCase() })).toBe(1);
    expect(await tagsOf(id)).toEqual([two.name.toUpperCase()]);
  });

  it('keep the name that people give them, until Kommo gives another', async () => {
    const scope = await world.newConnection();
    const id = world.next();
    const tag = { id, name: `Kommo ${id}` };
    await contact(scope, id, tag);
    await world.db.query(
      sql`update public.tags set name = ${`Ours ${id}`} where name = ${tag.name}`,
    );
    expect(await applyTags(scope, 'contact', tag)).toBe(0);
    expect(await tagsOf(id)).toEqual([`Ours ${id}`]);
    expect(await applyTags(scope, 'contact', { ...tag, name: `Other ${id}` })).toBe(1);
    expect(await tagsOf(id)).toEqual([`Other ${id}`]);
  });

  it('give their links to the tag that has the new name already', async () => {
    const scope = await world.newConnection();
    const [id, other] = [world.next(), world.next()];
    const [one, two] = [
      { id, name: `From ${id}` },
      { id: id + 1, name: `To ${id}` },
    ];
    await contact(scope, id, one);
    await contact(scope, other, one, two);
    // Another connection's links to the same tag are not Kommo's to move here.
    const theirs = await world.newConnection();
    const third = world.next();
    await contact(theirs, third, one);
    const renamed = { ...one, name: two.name };
    expect(await applyTags(scope, 'contact', renamed, two)).toBe(1);
    expect(await applyTags(scope, 'contact', renamed, two)).toBe(0);
    expect(await tagsOf(id)).toEqual([two.name]);
    expect(await tagsOf(other)).toEqual([two.name]);
    expect(await tagsOf(third)).toEqual([one.name]);
    await contact(scope, id, one);
    expect(await tagsOf(id)).toEqual([two.name]);
    await world.run((tx) => applyKommoContacts(tx, scope, [contactDocument({ id, at: T + 1 })]));
    expect(await tagsOf(id)).toEqual([]);
  });

  it('of leads and contacts share one of ours, and one that is renamed leaves it to the other', async () => {
    const scope = await world.newConnection();
    const id = world.next();
    const [ofLeads, ofContacts] = [
      { id, name: `VIP ${id}` },
      { id: id + 1, name: `vip ${id}` },
    ];
    await applyTags(scope, 'lead', ofLeads);
    await applyTags(scope, 'contact', ofContacts);
    await contact(scope, id, ofContacts);
    expect(await applyTags(scope, 'contact', ofContacts)).toBe(0);
    const renamed = { ...ofContacts, name: `Gold ${id}` };
    expect(await applyTags(scope, 'contact', renamed)).toBe(1);
    expect(await applyTags(scope, 'lead', ofLeads)).toBe(0);
    expect(await applyTags(scope, 'contact', renamed)).toBe(0);
    expect(await idOf(`VIP ${id}`)).toBeDefined();
    expect(await tagsOf(id)).toEqual([`Gold ${id}`]);
  });

  it('of one name are told apart by their rows, which are asked for again', async () => {
    const scope = await world.newConnection();
    const [id, other] = [world.next(), world.next()];
    const [one, two] = [
      { id, name: `Same ${id}` },
      { id: id + 1, name: `SAME ${id}` },
    ];
    await contact(scope, id, one);
    await contact(scope, other, two);
    expect(await applyTags(scope, 'contact', one, two)).toBe(0);
    const renamed = { ...two, name: `Else ${id}` };
    expect(await applyTags(scope, 'contact', one, renamed)).toBe(1);
    const hints = await world.all(sql`
      select kommo_id from private.kommo_hints
      where connection_id = ${scope.connectionId} and entity = 'contact' order by kommo_id`);
    expect(hints.map((row) => Number(row['kommo_id']))).toEqual([id, other]);
    await contact(scope, id, one);
    await contact(scope, other, renamed);
    expect(await tagsOf(id)).toEqual([one.name]);
    expect(await tagsOf(other)).toEqual([`Else ${id}`]);
  });
});

describe('a Kommo account', () => {
  it('says its name and currency, and is written when it says something else', async () => {
    const scope = await world.newConnection();
    const account = { id: world.next(), name: 'Acme', subdomain: 'acme', currency: 'pen' };
    const say = (more = {}) =>
      world.logged(() => world.run((tx) => applyKommoAccount(tx, scope, { ...account, ...more })));
    expect(await say()).toEqual(['kommo_connections: UPDATE']);
    expect(await say()).toEqual([]);
    expect(await say({ currency: 'soles' })).toEqual([]);
    expect(await say({ name: `\0${'x'.repeat(300)}` })).toEqual(['kommo_connections: UPDATE']);
    expect(
      await world.one(sql`
        select name, currency, kommo_account_id from public.kommo_connections
        where id = ${scope.connectionId}`),
    ).toEqual({ name: 'x'.repeat(200), currency: 'PEN', kommo_account_id: String(account.id) });
  });

  it('has people, who come, change and go', async () => {
    const scope = await world.newConnection();
    const id = world.next();
    const people = [
      { id, name: 'Ana', email: 'ana@x.pe' },
      { id: id + 1, name: '\0', email: null },
    ];
    const say = (users: typeof people) => world.counted((tx) => applyKommoUsers(tx, scope, users));
    expect(await say(people)).toEqual({ value: 2, statements: 1 });
    expect(await say(people)).toEqual({ value: 0, statements: 1 });
    expect((await say([{ id, name: 'Ana', email: 'ana@y.pe' }])).value).toBe(2);
    expect(
      await world.all(sql`
        select kommo_id, name, email from private.kommo_users where connection_id = ${scope.connectionId}`),
    ).toEqual([{ kommo_id: String(id), name: 'Ana', email: 'ana@y.pe' }]);
  });
});
