import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { sql } from '../../platform/sql.ts';
import { applyKommoContacts } from '../../server/commands/apply-kommo-contacts.ts';
import { applyKommoLeads } from '../../server/commands/apply-kommo-leads.ts';
import type { KommoScope } from '../../server/commands/apply-kommo-looks.ts';
import { applyKommoPipelines } from '../../server/commands/apply-kommo-pipelines.ts';
import { mergeContacts } from '../../server/commands/merge-contacts.ts';
import { tombstoneKommo } from '../../server/commands/tombstone-kommo.ts';
import { contactDocument, leadDocument, pipelineDocument, T } from './kommo-apply-documents.ts';
import { openApplyWorld, type ApplyWorld } from './kommo-apply-world.ts';

let world: ApplyWorld;

beforeAll(async () => {
  world = await openApplyWorld();
});

afterAll(() => world.close());

const idOf = async (id: number): Promise<number> => Number((await world.contact(id))['id']);

describe('Kommo contacts that people have merged', () => {
  const merge = (id: number, lost: number) =>
    world.db.transaction((tx) =>
      mergeContacts(tx, {
        accountId: world.accountId,
        id,
        contactIds: [lost],
        sees: () => true,
      }),
    );
  const buryAt = (id: number, at: number) =>
    world.run((tx) => tombstoneKommo(tx, world.scope, { entity: 'contact', ids: [id], at }));
  const tag = (name: string) => ({ id: world.next(), name: `${name} ${world.next()}` });
  /** Two of them, the second merged into the first, both as Kommo still has them. */
  async function merged() {
    const [one, two] = [world.newNumber().phone, world.newNumber().phone];
    const [regular, vip] = [tag('Regular'), tag('VIP')];
    const own = {
      id: world.next(),
      name: 'Own',
      phones: [`+${one}`],
      fields: { Edad: '34' },
      tags: [regular],
    };
    const other = {
      id: world.next(),
      name: 'Other',
      phones: [`+${two}`, `+${one}`],
      emails: [`${two}@example.com`],
      fields: { Sala: 'B' },
      tags: [vip],
    };
    await world.contacts(own, other);
    const [kept, lost] = [await idOf(own.id), await idOf(other.id)];
    await merge(kept, lost);
    return { own, other, kept, one, two, tags: [regular.name, vip.name] };
  }

  it('stay one with all that both have, however often Kommo says it', async () => {
    const { own, other, kept, one, two, tags } = await merged();
    const all = {
      id: String(kept),
      name: 'Own',
      phone: one,
      email: `${two}@example.com`,
      kommo_id: String(own.id),
    };
    const check = async (fields: object) => {
      const row = await world.contact(other.id);
      expect(row).toMatchObject(all);
      expect(JSON.parse(row['custom_fields'] ?? '')).toEqual(fields);
      expect(await world.tagsOf('contact', kept)).toEqual(tags);
      expect(await world.identities(kept)).toEqual(
        [`kommo ${own.id}`, `kommo ${other.id}`, `phone ${one}`, `phone ${two}`].toSorted(),
      );
    };
    // How the one that went looked is gone with it: it is written once more, and changes nothing.
    const written = await world.logged(async () => {
      await world.contacts(own, other);
      await world.contacts(other, own);
    });
    expect(written).toEqual([]);
    await check({ Edad: '34', Sala: 'B' });
    await world.contacts({ ...own, at: T + 1, fields: { Edad: '35' } });
    await check({ Edad: '35', Sala: 'B' });
    await world.contacts(
      { ...other, at: T + 2, phones: [`+${two}`] },
      { ...own, at: T + 2, fields: { Edad: '36' } },
    );
    await check({ Edad: '36', Sala: 'B' });
    await world.contacts({ ...own, at: T + 3, tags: [] });
    expect(await world.tagsOf('contact', kept)).toEqual(tags.slice(1));
  });

  it('take tags of both also when the own one is read before the other', async () => {
    const { own, other, kept, tags } = await merged();
    await world.contacts({ ...own, at: T + 1, name: 'Own 2' });
    await world.contacts(other);
    expect(await world.tagsOf('contact', kept)).toEqual(tags);
  });

  it('are asked for once the own one is gone, and go on as it', async () => {
    const { own, other, kept } = await merged();
    await world.contacts(own, other);
    expect(await buryAt(own.id, T + 1)).toBe(1);
    expect((await world.contact(other.id))['kommo_deleted_at']).not.toBeNull();
    expect(
      await world.all(sql`
        select entity, kommo_id from private.kommo_hints where kommo_id = any(${[own.id, other.id]}::bigint[])`),
    ).toEqual([{ entity: 'contact', kommo_id: String(other.id) }]);
    await world.contacts(other);
    expect(await world.contact(other.id)).toMatchObject({
      id: String(kept),
      name: 'Other',
      kommo_id: String(other.id),
      kommo_deleted_at: null,
    });
  });

  it('are known to leads by both, also when one was gone for a while', async () => {
    const { pipeline, statuses } = await world.followed();
    const { own, other, kept } = await merged();
    await world.contacts(own, other);
    await buryAt(own.id, T + 1);
    await world.contacts(other);
    await world.contacts({ ...own, at: T + 2 });
    const ids = [own.id, other.id].map((contact) => ({ id: world.next(), contacts: [contact] }));
    await world.leads(...ids.map((lead) => ({ ...lead, pipeline, status: statuses[0] })));
    for (const { id } of ids) expect((await world.lead(id))['contact_id']).toBe(String(kept));
  });

  it('are as the own one says, until that is gone', async () => {
    const [own, other] = [world.next(), world.next()];
    const [one, two] = [world.newNumber().phone, world.newNumber().phone];
    await world.contacts(
      { id: own, name: 'Own', phones: [`+${one}`] },
      { id: other, name: 'Other', phones: [`+${two}`] },
    );
    const [kept, lost] = [await idOf(own), await idOf(other)];
    await merge(kept, lost);
    const third = world.newNumber();
    const phones = [`+${two}`, `+${third.phone}`];
    await world.contacts({ id: other, at: T + 1, name: 'Other 2', phones });
    expect(await idOf(other)).toBe(kept);
    expect(await world.contact(other)).toMatchObject({ name: 'Own', kommo_id: String(own) });
    expect((await world.receive({ jid: third.jid })).contactId).toBe(kept);

    const bury = (id: number) =>
      world.run((tx) =>
        tombstoneKommo(tx, world.scope, { entity: 'contact', ids: [id], at: T + 2 }),
      );
    expect(await bury(own)).toBe(1);
    await world.contacts({ id: other, at: T + 3, name: 'Other 3', phones });
    expect(await world.contact(other)).toMatchObject({
      id: String(kept),
      name: 'Other 3',
      kommo_id: String(other),
      kommo_deleted_at: null,
    });
    await world.contacts({ id: own, at: T + 4, name: 'Own again' });
    expect(await world.contact(other)).toMatchObject({ name: 'Other 3' });
    expect(await bury(own)).toBe(0);
  });
});

describe('a contact that was deleted in Kommo', () => {
  it('is marked, and comes back with a look that is not older', async () => {
    const id = world.next();
    const given = { id, name: 'Rosa', phones: [`+${world.newNumber().phone}`] };
    const bury = (at: number | undefined) =>
      world.run((tx) => tombstoneKommo(tx, world.scope, { entity: 'contact', ids: [id], at }));
    await world.contacts({ ...given, at: T + 5 });
    const contactId = await idOf(id);
    expect(await bury(T + 4)).toBe(0);
    const written = await world.logged(async () => {
      expect(await bury(T + 6)).toBe(1);
      expect(await bury(T + 6)).toBe(0);
      expect(await bury(T + 9)).toBe(0);
      expect(await world.contacts({ ...given, at: T + 5, name: 'Late' })).toMatchObject({
        changed: 0,
      });
    });
    expect(written).toEqual(['contacts: UPDATE']);
    expect(await world.contact(id)).toMatchObject({ id: String(contactId), name: 'Rosa' });
    expect((await world.contact(id))['kommo_deleted_at']).not.toBeNull();
    expect(await world.contacts({ ...given, at: T + 7 })).toMatchObject({ changed: 1 });
    expect(await world.contact(id)).toMatchObject({ kommo_deleted_at: null });

    // Only not to be found: then any look at it is news.
    expect(await bury(undefined)).toBe(1);
    expect(await world.contacts({ ...given, at: T + 7 })).toMatchObject({ changed: 1 });
    expect(await world.contact(id)).toMatchObject({ kommo_deleted_at: null });
    expect(await world.contacts({ ...given, at: T + 8, isDeleted: true })).toMatchObject({
      changed: 1,
    });
    expect((await world.contact(id))['kommo_deleted_at']).not.toBeNull();
    const strange = world.next();
    expect(await world.contacts({ id: strange, isDeleted: true })).toMatchObject({ changed: 0 });
    expect(await world.all(sql`select from public.contacts where kommo_id = ${strange}`)).toEqual(
      [],
    );
  });
});

describe('two connections of one account that know one contact', () => {
  it('leave it to the first, until that is no longer read', async () => {
    const id = world.next();
    const second = await world.newConnection();
    const look = (name: string, at: number) =>
      world.run((tx) => applyKommoContacts(tx, second, [contactDocument({ id, name, at })]));
    await world.contacts({ id, name: 'First', fields: { Edad: '34' } });
    expect(await look('Second', T + 1)).toEqual({ changed: 0, unchanged: 1 });
    expect(
      await world.run((tx) =>
        tombstoneKommo(tx, second, { entity: 'contact', ids: [id], at: T + 9 }),
      ),
    ).toBe(0);
    expect(await world.contact(id)).toMatchObject({ name: 'First' });
    const { connectionId } = world.scope;
    const setStatus = (status: string) =>
      world.db.query(sql`
        update public.kommo_connections set status = ${status} where id = ${connectionId}`);
    await setStatus('disconnected');
    try {
      expect(await look('Second', T + 2)).toEqual({ changed: 1, unchanged: 0 });
      expect(await world.contact(id)).toMatchObject({ name: 'Second', custom_fields: '{}' });
    } finally {
      await setStatus('connected');
    }
    expect(await world.contacts({ id, at: T + 3, name: 'First again' })).toMatchObject({
      changed: 0,
    });
  });

  it('and both come to know it at once: one of them has it', async () => {
    const id = world.next();
    const second = await world.newConnection();
    const other = world.next();
    const look = (name: string) =>
      world.run((tx) => applyKommoContacts(tx, second, [contactDocument({ id, name })]));
    let late: ReturnType<typeof look> | undefined;
    await world.run(async (tx) => {
      const page = [contactDocument({ id, name: 'First' }), contactDocument({ id: other })];
      await applyKommoContacts(tx, world.scope, page);
      late = look('Second');
      await world.untilOneWaits();
    });
    expect(await late).toEqual({ changed: 0, unchanged: 1 });
    expect(await world.contact(id)).toMatchObject({ name: 'First' });
  });
});

describe('two connections of one account that know one lead', () => {
  it('leave it to the first, also when both come to know it at once, until that is no longer read', async () => {
    const [first, second] = [await world.newConnection(), await world.newConnection()];
    const [own, status, id] = [world.next(), world.next(), world.next()];
    const pipelines = [pipelineDocument(own, 'Ventas', [{ id: status }])];
    for (const scope of [first, second]) {
      await world.run((tx) => applyKommoPipelines(tx, scope, pipelines));
      await world.db.query(sql`
        update public.kommo_pipelines set is_connected = true where connection_id = ${scope.connectionId}`);
      await world.run((tx) => applyKommoPipelines(tx, scope, pipelines));
    }
    const given = { id, pipeline: own, status };
    const look = (scope: KommoScope, name: string, at = T) =>
      world.run((tx) => applyKommoLeads(tx, scope, [leadDocument({ ...given, name, at })]));
    let late: ReturnType<typeof look> | undefined;
    await world.run(async (tx) => {
      await applyKommoLeads(tx, first, [
        leadDocument({ ...given, name: 'First', fields: { a: '1' } }),
      ]);
      late = look(second, 'Second');
      await world.untilOneWaits();
    });
    expect(await late).toEqual({ changed: 0, unchanged: 1 });
    expect(await look(second, 'Second', T + 1)).toEqual({ changed: 0, unchanged: 1 });
    expect(await world.lead(id)).toMatchObject({ title: 'First' });
    await world.db.query(sql`
      update public.kommo_connections set status = 'disconnected' where id = ${first.connectionId}`);
    expect(await look(second, 'Second', T + 2)).toEqual({ changed: 1, unchanged: 0 });
    expect(await world.lead(id)).toMatchObject({ title: 'Second', custom_fields: '{}' });
    await world.db.query(sql`
      update public.kommo_connections set status = 'connected' where id = ${first.connectionId}`);
    expect(await look(first, 'First', T + 3)).toEqual({ changed: 0, unchanged: 1 });
  });
});
