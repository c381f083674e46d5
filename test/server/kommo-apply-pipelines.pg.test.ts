import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { sql } from '../../platform/sql.ts';
import { applyKommoAccount, applyKommoUsers } from '../../server/commands/apply-kommo-account.ts';
import { applyKommoContacts } from '../../server/commands/apply-kommo-contacts.ts';
import { applyKommoLeads } from '../../server/commands/apply-kommo-leads.ts';
import type { KommoScope } from '../../server/commands/apply-kommo-looks.ts';
import { applyKommoPipelines } from '../../server/commands/apply-kommo-pipelines.ts';
import { applyKommoTags } from '../../server/commands/apply-kommo-tags.ts';
import type { KommoPipeline, KommoTag } from '../../server/kommo/documents.ts';
import {
  contactDocument,
  leadDocument,
  openApplyWorld,
  pipelineDocument,
  T,
  type ApplyWorld,
} from './kommo-apply-world.ts';

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
