import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { sql } from '../../platform/sql.ts';
import { missingKommoContacts } from '../../server/commands/known-kommo.ts';
import { tombstoneKommo } from '../../server/commands/tombstone-kommo.ts';
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

describe('leads of contacts that are not known', () => {
  it('are refused as a fault of who applies them, which names the contacts; it can ask before', async () => {
    const [first, second, away] = [world.next(), world.next(), world.next()];
    const known = world.next();
    await world.contacts({ id: known });
    const common = { pipeline, status: statuses[0] };
    const given = [
      { id: world.next(), ...common, contacts: [second] },
      { id: world.next(), ...common, contacts: [known, first] },
      { id: world.next(), ...common, contacts: [first] },
      { id: world.next(), ...common, contacts: [second] },
      { id: world.next(), ...common },
      { id: world.next(), pipeline: world.next(), status: 1, contacts: [away] },
    ];
    const missing = await missingKommoContacts(world.db, world.scope, given.map(leadDocument));
    expect(missing).toEqual([second, first]);
    await expect(world.leads(...given)).rejects.toMatchObject({
      code: 'internal',
      details: { ids: expect.arrayContaining([first, second]) as unknown },
    });
    await world.contacts({ id: first }, { id: second });
    expect(await missingKommoContacts(world.db, world.scope, given.map(leadDocument))).toEqual([]);
    expect(await world.leads(...given)).toEqual({ changed: 5, unchanged: 1 });
  });
});

describe('a lead in a pipeline that is not followed', () => {
  it('is nothing to us, however often it comes', async () => {
    const given = { id: world.next(), pipeline: world.next(), status: 1, contacts: [world.next()] };
    const written = await world.logged(async () => {
      expect(await world.leads(given)).toEqual({ changed: 0, unchanged: 1 });
    });
    expect(written).toEqual([]);
    expect(
      await world.all(sql`select from private.kommo_leads where kommo_id = ${given.id}`),
    ).toEqual([]);
  });

  it('goes to the archive when it was here before, and comes back from there', async () => {
    const given = await newLead({ name: 'Here' });
    const away = { ...given, pipeline: world.next(), status: 1, contacts: [world.next()] };
    const written = await world.logged(async () => {
      expect(await world.leads({ ...away, at: T + 1, name: 'Away' })).toMatchObject({ changed: 1 });
      expect(await world.leads({ ...away, at: T + 2, name: 'Away 2' })).toMatchObject({
        changed: 0,
      });
    });
    expect(written).toEqual(['leads: UPDATE']);
    const gone = await world.lead(given.id);
    expect(gone).toMatchObject({ title: 'Here', status_id: String(statuses[1]) });
    expect(gone['archived_at']).not.toBeNull();
    await world.leads({ ...given, at: T + 3, name: 'Back' });
    expect(await world.lead(given.id)).toMatchObject({ title: 'Back', archived_at: null });
  });

  it('stays in the archive when people had put it there, and out of it when they took it out', async () => {
    const [kept, taken] = [await newLead(), await newLead()];
    const archive = (id: number, at: string | null) =>
      world.db.query(sql`update public.leads set archived_at = ${at} where kommo_id = ${id}`);
    await archive(kept.id, '2026-01-01T00:00:00Z');
    const elsewhere = { pipeline: world.next(), status: 1 };
    await world.leads({ ...kept, ...elsewhere, at: T + 1 }, { ...taken, ...elsewhere, at: T + 1 });
    await archive(taken.id, null);
    await archive(taken.id, '2026-02-01T00:00:00Z');
    await world.leads({ ...kept, at: T + 2 }, { ...taken, at: T + 2 });
    for (const { id } of [kept, taken])
      expect((await world.lead(id))['archived_at']).not.toBeNull();
  });
});

describe('what came of a pipeline that is no longer followed', () => {
  const bury = (id: number, at: number) =>
    world.run((tx) => tombstoneKommo(tx, world.scope, { entity: 'lead', ids: [id], at }));
  let pipeline: number;
  let statuses: [number, number, number];
  const newOne = () => world.newKommoLead({ name: 'Here', pipeline, status: statuses[1] });

  beforeEach(async () => {
    ({ pipeline, statuses } = await world.followed());
  });

  it('stays as it is, wherever its leads go over there, and is read again once it is followed again', async () => {
    const [one, moved] = [await newOne(), await newOne()];
    await world.follow(pipeline, false);
    const elsewhere = { pipeline: world.next(), status: 1 };
    const looks = [
      { ...one, at: T + 1, name: 'Away' },
      { ...moved, ...elsewhere, at: T + 1, name: 'Away' },
    ];
    const written = await world.logged(async () => {
      expect(await world.leads(...looks)).toEqual({ changed: 0, unchanged: 2 });
    });
    expect(written).toEqual([]);
    for (const { id } of [one, moved])
      expect(await world.lead(id)).toMatchObject({ title: 'Here', archived_at: null });
    await world.follow(pipeline);
    expect(await world.leads(...looks)).toEqual({ changed: 2, unchanged: 0 });
    expect(await world.lead(one.id)).toMatchObject({ title: 'Away', archived_at: null });
    const gone = await world.lead(moved.id);
    expect(gone['title']).toBe('Here');
    expect(gone['archived_at']).not.toBeNull();
  });

  it('stays when the pipeline went to the archive over there; leads that left one that is gone do not', async () => {
    const [kept, left] = [await newOne(), await newOne()];
    await world.db.query(sql`
      delete from public.kommo_pipelines
      where account_id = ${world.accountId} and kommo_id = ${pipeline}`);
    await world.leads(
      { ...kept, at: T + 1, name: 'Away' },
      { ...left, pipeline: world.next(), status: 1, at: T + 1 },
    );
    expect(await world.lead(kept.id)).toMatchObject({ title: 'Here', archived_at: null });
    expect((await world.lead(left.id))['archived_at']).not.toBeNull();
  });

  it('goes to the trash when it is deleted over there, and comes back as it was', async () => {
    const given = await newOne();
    await world.follow(pipeline, false);
    expect(await bury(given.id, T + 1)).toBe(1);
    expect((await world.lead(given.id))['deleted_at']).not.toBeNull();
    const restored = { ...given, at: T + 2, name: 'Restored' };
    expect(await world.leads(restored)).toMatchObject({ changed: 1 });
    expect(await world.leads({ ...restored, at: T + 3 })).toMatchObject({ changed: 0 });
    const back = { title: 'Here', deleted_at: null, archived_at: null, kommo_deleted_at: null };
    expect(await world.lead(given.id)).toMatchObject(back);
    await world.follow(pipeline);
    await world.leads({ ...restored, at: T + 3 });
    expect(await world.lead(given.id)).toMatchObject({ ...back, title: 'Restored' });
  });
});

describe('a lead that was deleted in Kommo', () => {
  const bury = (ids: number[], at: number | undefined) =>
    world.run((tx) => tombstoneKommo(tx, world.scope, { entity: 'lead', ids, at }));

  it('goes to the trash, and comes back with a look that is not older', async () => {
    const given = await newLead({ at: T + 5 });
    expect(await bury([given.id], T + 4)).toBe(0);
    const written = await world.logged(async () => {
      expect(await bury([given.id, world.next()], T + 6)).toBe(1);
      expect(await bury([given.id], T + 6)).toBe(0);
      await world.leads({ ...given, at: T + 5, name: 'Late' });
    });
    expect(written).toEqual(['leads: UPDATE']);
    const gone = await world.lead(given.id);
    expect(seconds(gone['kommo_deleted_at'])).toBe(T + 6);
    expect(gone['deleted_at']).not.toBeNull();
    expect(await world.leads({ ...given, at: T + 6 })).toMatchObject({ changed: 1 });
    expect(await world.lead(given.id)).toMatchObject({ kommo_deleted_at: null, deleted_at: null });
    await world.leads({ ...given, at: T + 7, isDeleted: true });
    expect((await world.lead(given.id))['deleted_at']).not.toBeNull();
    await bury([given.id], undefined);
    await world.leads({ ...given, at: T + 7 });
    expect(await world.lead(given.id)).toMatchObject({ kommo_deleted_at: null, deleted_at: null });
    expect(await bury([given.id], undefined)).toBe(1);
    expect(await world.leads({ ...given, at: T + 7 })).toMatchObject({ changed: 1 });
  });

  it('stays where people had thrown it away', async () => {
    const given = await newLead();
    await world.db.query(sql`
      update public.leads set deleted_at = '2026-01-01T00:00:00Z' where kommo_id = ${given.id}`);
    await bury([given.id], T + 1);
    await world.leads({ ...given, at: T + 2 });
    const lead = await world.lead(given.id);
    expect(lead['kommo_deleted_at']).toBeNull();
    expect(seconds(lead['deleted_at'])).toBe(seconds('2026-01-01T00:00:00Z'));
  });

  it('is new again when it is gone for good here', async () => {
    const given = await newLead();
    await world.db.query(sql`delete from public.leads where kommo_id = ${given.id}`);
    expect(await world.leads(given)).toEqual({ changed: 1, unchanged: 0 });
    expect(await world.lead(given.id)).toMatchObject({ title: `Deal ${given.id}` });
  });
});
