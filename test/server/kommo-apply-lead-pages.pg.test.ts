import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { sql } from '../../platform/sql.ts';
import { applyKommoLeads } from '../../server/commands/apply-kommo-leads.ts';
import { applyKommoPipelines } from '../../server/commands/apply-kommo-pipelines.ts';
import { listKnownKommoIds } from '../../server/commands/known-kommo.ts';
import { tombstoneKommo } from '../../server/commands/tombstone-kommo.ts';
import { leadDocument, pipelineDocument, T } from './kommo-apply-documents.ts';
import { openApplyWorld, type ApplyWorld } from './kommo-apply-world.ts';

let world: ApplyWorld;
let pipeline: number;
let statuses: [number, number, number];
let contact: number;

beforeAll(async () => {
  world = await openApplyWorld();
  ({ pipeline, statuses } = await world.followed());
  contact = world.next();
  await world.contacts({ id: contact });
});

afterAll(() => world.close());

const common = () => ({ pipeline, status: statuses[0], contacts: [contact] });

describe('a page of leads', () => {
  it('of which nothing is new costs one statement and nothing else', async () => {
    const given = [1, 2, 3].map((n) => ({
      id: world.next(),
      ...common(),
      fields: { Edad: `${n}` },
      tags: [{ id: 900 + n, name: `Tag ${n}` }],
    }));
    await world.leads(...given);
    const state = () =>
      world.all(sql`
        select 'look ' || kommo_id || ' ' || xmin as line from private.kommo_leads
        union all select sequencename || ' ' || last_value from pg_sequences
        union all select 'lead ' || id || ' ' || xmin || ' ' || xmax from public.leads
        union all select 'contact ' || id || ' ' || xmin || ' ' || xmax from public.contacts
        order by 1`);
    const before = await state();
    const documents = given.map((one) => leadDocument({ ...one, at: T + 9 }));
    const written = await world.logged(async () => {
      const { value, statements } = await world.counted((tx) =>
        applyKommoLeads(tx, world.scope, documents),
      );
      expect(value).toEqual({ changed: 0, unchanged: 3 });
      expect(statements).toBe(1);
    });
    expect(written).toEqual([]);
    expect(await state()).toEqual(before);
  });

  it('writes the leads that differ, and no other', async () => {
    const given = [1, 2, 3, 4].map((n) => ({
      id: world.next(),
      ...common(),
      tags: [{ id: 900 + n, name: `Tag ${n}` }],
    }));
    await world.leads(...given);
    const [first, second] = given;
    const written = await world.logged(async () => {
      const applied = await world.leads(
        ...given.map((one) => ({
          ...one,
          at: T + 1,
          ...(one === first && { price: 5 }),
          ...(one === second && { tags: [{ id: 904, name: 'Tag 4' }] }),
        })),
      );
      expect(applied).toEqual({ changed: 2, unchanged: 2 });
    });
    expect(written.toSorted()).toEqual(['lead_tags: DELETE', 'lead_tags: INSERT', 'leads: UPDATE']);
  });

  it('costs as many statements for 250 leads as for one', async () => {
    const page = (at: number, change: string) =>
      Array.from({ length: 250 }, (_unused, n) =>
        leadDocument({
          id: 70_000 + n * 10,
          at,
          name: `Deal ${n} ${change}`,
          price: n,
          pipeline,
          status: statuses[n % 3] ?? 0,
          contacts: n % 7 === 0 ? [] : [contact],
          fields: { Edad: `${n}${change}` },
          tags: [{ id: 80_000 + (n % 40), name: `Tag ${n % 40}` }],
        }),
      );
    const count = (documents: ReturnType<typeof page>) =>
      world.counted((tx) => applyKommoLeads(tx, world.scope, documents));
    const first = await count(page(T, 'first'));
    expect(first.value.changed).toBe(250);
    expect(first.statements).toBeLessThanOrEqual(10);
    const strange = { pipeline: world.next(), status: 1 };
    const mixed = [
      ...page(T + 1, 'second').slice(100),
      leadDocument({ id: 70_000, at: T + 1, ...strange }),
      leadDocument({ id: 70_070, at: T + 1, ...common() }),
      leadDocument({
        id: world.next(),
        ...common(),
        tags: [{ id: world.next(), name: 'Unknown' }],
      }),
      leadDocument({ id: world.next(), pipeline, status: statuses[0] }),
    ];
    const second = await count(mixed);
    expect(second.value.changed).toBe(154);
    expect(second.statements).toBeLessThanOrEqual(13);
  });

  it('that is older than what was written changes nothing', async () => {
    const id = world.next();
    await world.leads({ id, ...common(), at: T + 10, name: 'New' });
    expect(await world.leads({ id, ...common(), at: T + 9, name: 'Old' })).toMatchObject({
      changed: 0,
    });
    expect(await world.lead(id)).toMatchObject({ title: 'New' });
  });

  it('is written whatever is in it', async () => {
    const [id, other, third] = [world.next(), world.next(), world.next()];
    await world.leads(
      {
        id,
        ...common(),
        name: `A\0\ud800${'x'.repeat(1_000)}`,
        price: 1e300,
        status: 143,
        closedAt: Number.MAX_SAFE_INTEGER,
        lossReason: `\0${'r'.repeat(2_000)}`,
        fields: { long: 'y'.repeat(100_000), 'a\0': '\ud801' },
        tags: [{ id: world.next(), name: '\0' }],
      },
      { id: other, ...common(), name: '\0', price: -17.5 },
      { id: third, ...common(), price: 0.125 },
    );
    const lead = await world.lead(id);
    expect(lead['title']).toBe(`A\ufffd${'x'.repeat(298)}`);
    expect(lead).toMatchObject({ value: '999999999999.99', close_reason: 'r'.repeat(500) });
    expect(lead['closed_at']).toContain('9999-12-31');
    expect(await world.lead(other)).toMatchObject({ title: `Lead #${other}`, value: '0.00' });
    expect(await world.lead(third)).toMatchObject({ value: '0.13' });
  });

  it('changes one column without touching what is stored apart', async () => {
    const id = world.next();
    const fields = Object.fromEntries(
      Array.from({ length: 8 }, (_unused, n) => [`field ${n}`, randomBytes(3_000).toString('hex')]),
    );
    await world.leads({ id, ...common(), fields });
    const slot = `toast_${process.pid}`;
    await world.db.query(sql`select pg_create_logical_replication_slot(${slot}, 'test_decoding')`);
    await world.leads({ id, ...common(), fields, at: T + 1, name: 'Renamed' });
    const changes = await world.all(sql`
      select data like '%custom_fields[jsonb]:unchanged-toast-datum%' as is_untouched
      from pg_logical_slot_get_changes(${slot}, null, null)
      where data like 'table public.leads: UPDATE:%'`);
    expect(changes).toEqual([{ is_untouched: 't' }]);
  });
});

describe('a lead whose stage is not known yet', () => {
  it('waits in the first stage or where it was, and is asked for when the stage comes', async () => {
    const [own, first, second, late] = [world.next(), world.next(), world.next(), world.next()];
    const connection = await world.newConnection();
    const apply = (...ids: number[]) =>
      world.run((tx) =>
        applyKommoPipelines(tx, connection, [
          pipelineDocument(
            own,
            'Own',
            ids.map((id) => ({ id })),
          ),
        ]),
      );
    await apply(first, second);
    await world.db.query(sql`
      update public.kommo_pipelines set is_connected = true where connection_id = ${connection.connectionId}`);
    await apply(first, second);
    const [known, fresh] = [world.next(), world.next()];
    const leads = (...page: Parameters<typeof leadDocument>[0][]) =>
      world.run((tx) => applyKommoLeads(tx, connection, page.map(leadDocument)));
    await leads({ id: known, pipeline: own, status: second });
    const page = [
      { id: known, pipeline: own, status: late, at: T + 1, name: 'Moved' },
      { id: fresh, pipeline: own, status: late },
    ];
    expect(await leads(...page)).toEqual({ changed: 2, unchanged: 0 });
    expect(await leads(...page)).toEqual({ changed: 0, unchanged: 2 });
    expect(await world.lead(known)).toMatchObject({ status_id: String(second), title: 'Moved' });
    expect(await world.lead(fresh)).toMatchObject({ status_id: String(first) });
    const hints = async () =>
      (
        await world.all(sql`
          select entity, kommo_id from private.kommo_hints
          where connection_id = ${connection.connectionId} order by kommo_id`)
      ).map((row) => `${row['entity']} ${row['kommo_id']}`);
    expect(await hints()).toEqual([]);
    await apply(first, second, late);
    expect(await hints()).toEqual([`lead ${known}`, `lead ${fresh}`]);
    expect(await leads(...page)).toEqual({ changed: 2, unchanged: 0 });
    for (const id of [known, fresh])
      expect(await world.lead(id)).toMatchObject({ status_id: String(late) });
  });
});

describe('what is known of Kommo', () => {
  it('is listed by id, a part at a time, without what was deleted', async () => {
    const connection = await world.newConnection();
    const own = world.next();
    const apply = () =>
      world.run((tx) =>
        applyKommoPipelines(tx, connection, [pipelineDocument(own, 'Own', [{ id: own + 1 }])]),
      );
    await apply();
    await world.db.query(sql`
      update public.kommo_pipelines set is_connected = true where connection_id = ${connection.connectionId}`);
    await apply();
    const ids = [world.next(), world.next(), world.next(), world.next()];
    const [, gone = 0] = ids;
    await world.run((tx) =>
      applyKommoLeads(
        tx,
        connection,
        ids.toReversed().map((id) => leadDocument({ id, pipeline: own, status: own + 1 })),
      ),
    );
    await world.run((tx) =>
      tombstoneKommo(tx, connection, { entity: 'lead', ids: [gone], at: T + 1 }),
    );
    const list = (afterId: number) =>
      listKnownKommoIds(world.db, connection, { entity: 'lead', afterId, limit: 2 });
    expect(await list(0)).toEqual([ids[0], ids[2]]);
    expect(await list(ids[2] ?? 0)).toEqual([ids[3]]);
    expect(await list(ids[3] ?? 0)).toEqual([]);
  });
});
