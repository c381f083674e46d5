import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Queries } from '../../../platform/postgres.ts';
import { sql, type Sql } from '../../../platform/sql.ts';
import { assignTag } from '../../../server/commands/assign-tag.ts';
import { changeLeads } from '../../../server/commands/change-leads.ts';
import { closeLead } from '../../../server/commands/close-lead.ts';
import { deleteContacts } from '../../../server/commands/delete-contact.ts';
import { importContacts } from '../../../server/commands/import-contacts.ts';
import { saveStages } from '../../../server/commands/save-stages.ts';
import { eventually } from '../../support/eventually.ts';
import { openCommandWorld, type CommandWorld } from './command-world.ts';

let world: CommandWorld;
let accountId: number;

beforeAll(async () => {
  world = await openCommandWorld();
  ({ accountId } = world);
});

afterAll(() => world.close());

type Work = (tx: Queries) => Promise<unknown>;

const waiting = (count: number) =>
  eventually(async () => {
    const { n } = await world.one(sql`
      select count(*) as n from pg_stat_activity
      where datname = current_database() and wait_event_type = 'Lock'`);
    return Number(n) === count;
  });

/** All wait, one after another, for what `holding` has locked; then it is committed. What became of them. */
async function behind(holding: Work, ...works: Work[]): Promise<PromiseSettledResult<unknown>[]> {
  const { value } = await world.db.transaction(async (tx) => {
    await holding(tx);
    const ends: Promise<unknown>[] = [];
    for (const work of works) {
      const end = world.db.transaction(work).then(({ value: answer }) => answer);
      end.catch(() => undefined);
      ends.push(end);
      await waiting(ends.length);
    }
    return { ends };
  });
  return Promise.allSettled(value.ends);
}

const lock =
  (row: Sql): Work =>
  (tx) =>
    tx.query(row);
const newContact = async (): Promise<number> =>
  Number(
    (
      await world.one(sql`
        insert into public.contacts (account_id, phone) values (${accountId}, ${world.newNumber().phone})
        returning id`)
    )['id'],
  );

/** Leads whose order in the table and in the index of their contacts is not the one of their ids. */
async function leadsOf(contactId: number, stageId: number, count: number): Promise<number[]> {
  const rows = await world.all(sql`
    insert into public.leads (account_id, contact_id, title, stage_id)
    select ${accountId}, ${contactId}, 'A lead', ${stageId} from generate_series(1, ${count}::integer)
    returning id`);
  const ids = rows.map((row) => Number(row['id'])).toSorted((one, other) => one - other);
  // The first is written anew and so comes behind the others.
  await world.all(sql`update public.leads set title = 'Moved' where id = ${ids[0]}`);
  return ids;
}

const fulfilled = (ends: PromiseSettledResult<unknown>[]) => ends.map(({ status }) => status);

describe('a change of many leads does not wait for who waits for it', () => {
  it.each(['layout', 'contacts'] as const)(
    'when they are reached by another way: %s',
    async (way) => {
      const pipeline = await world.newPipeline();
      const contactId = await newContact();
      const ids = await leadsOf(contactId, pipeline.active, 3);
      const layout: Work = (tx) =>
        saveStages(tx, {
          accountId,
          pipelineId: pipeline.id,
          stages: [
            { name: 'Another' },
            { id: pipeline.won, name: 'Won' },
            { id: pipeline.lost, name: 'Lost' },
          ],
          reassign: [{ from: pipeline.active, to: pipeline.lost }],
        });
      const deletion: Work = (tx) =>
        deleteContacts(tx, {
          accountId,
          ids: [contactId],
          withLeads: true,
          withChats: true,
          sees: () => true,
        });
      const bulk: Work = (tx) => changeLeads(tx, { accountId, ids, change: { action: 'archive' } });
      const row = sql`select id from public.leads where id = ${ids[1]} for no key update`;
      const ends = await behind(lock(row), way === 'layout' ? layout : deletion, bulk);
      expect(fulfilled(ends)).toEqual(['fulfilled', 'fulfilled']);
    },
  );
});

it('a tag is put on the others when one of them is deleted meanwhile', async () => {
  const [gone, stays] = [await newContact(), await newContact()];
  const tagId = world.ours.tagIds[0] ?? 0;
  const tagging = { accountId, tagId, leads: [], contacts: [gone, stays], chats: [] };
  const [end] = await behind(lock(sql`delete from public.contacts where id = ${gone}`), (tx) =>
    assignTag(tx, tagging),
  );
  expect(end).toEqual({ status: 'fulfilled', value: { matched: 1, changed: 1 } });
});

it('an import changes contacts that a message refers to, without waiting for it', async () => {
  const { phone } = world.newNumber();
  const { id } = await world.one(sql`
    insert into public.contacts (account_id, phone) values (${accountId}, ${phone}) returning id`);
  const row = {
    values: { phone, name: 'Imported' },
    customFields: {},
    addresses: [{ kind: 'phone', value: phone }],
    tags: [],
  } as const;
  await world.db.transaction(async (tx) => {
    await tx.query(sql`select id from public.contacts where id = ${id} for key share`);
    const { value } = await world.db.transaction((other) =>
      importContacts(other, { accountId, actorId: undefined, rows: [row], isDryRun: false }),
    );
    expect(value).toEqual([{ kind: 'updated' }]);
  });
});

it('a lead that goes to another pipeline meanwhile is won there', async () => {
  const [from, to] = [await world.newPipeline(), await world.newPipeline()];
  const [id = 0] = await leadsOf(await newContact(), from.active, 1);
  const [end] = await behind(
    lock(sql`update public.leads set stage_id = ${to.active} where id = ${id}`),
    (tx) => closeLead(tx, { accountId, id, outcome: 'won' }),
  );
  expect(end?.status).toBe('fulfilled');
  expect(await world.lead(id)).toMatchObject({ stage_id: String(to.won), status: 'won' });
});

describe('who writes for the first time', () => {
  it('is heard when the default stage is deleted in that moment', async () => {
    const { jid } = world.newNumber();
    const pipeline = await world.newPipeline();
    const before = await world.one(
      sql`select default_stage_id as id from public.accounts where id = ${accountId}`,
    );
    const makeDefault = (id: unknown) =>
      world.all(sql`update public.accounts set default_stage_id = ${id} where id = ${accountId}`);
    await makeDefault(pipeline.active);
    const { value } = await world.db.transaction(async (tx) => {
      await tx.query(sql`delete from public.pipeline_stages where id = ${pipeline.active}`);
      const received = world.receive({ jid });
      received.catch(() => undefined);
      await waiting(1);
      return { ends: () => received };
    });
    expect((await value.ends()).outcome).toBe('written');
    await makeDefault(before['id']);
  });

  it('has a lead where the leads of a removed default stage went', async () => {
    const pipeline = await world.newPipeline();
    const before = await world.one(
      sql`select default_stage_id as id from public.accounts where id = ${accountId}`,
    );
    const [middle, last] = await world.all(sql`
      insert into public.pipeline_stages (account_id, pipeline_id, name, position)
      values (${accountId}, ${pipeline.id}, 'Middle', 800), (${accountId}, ${pipeline.id}, 'Last', 900)
      returning id`);
    await world.all(
      sql`update public.accounts set default_stage_id = ${pipeline.active} where id = ${accountId}`,
    );
    await world.db.transaction((tx) =>
      saveStages(tx, {
        accountId,
        pipelineId: pipeline.id,
        stages: [
          { id: Number(middle?.['id']), name: 'Middle' },
          { id: Number(last?.['id']), name: 'Last' },
          { id: pipeline.won, name: 'Won' },
          { id: pipeline.lost, name: 'Lost' },
        ],
        reassign: [{ from: pipeline.active, to: Number(last?.['id']) }],
      }),
    );
    const { leadId, contactId } = await world.receive({ jid: world.newNumber().jid });
    expect(leadId).toBeDefined();
    expect(await world.leadsOf(contactId)).toMatchObject([{ stage_id: last?.['id'] }]);
    await world.all(
      sql`update public.accounts set default_stage_id = ${before['id']} where id = ${accountId}`,
    );
  });
});

describe('somebody with two chats, by number and by LID', () => {
  it('has each message once, and takes it back where it is', async () => {
    const { phone, jid } = world.newNumber();
    const lid = `${phone}2@lid`;
    const byNumber = await world.receive({ jid });
    const byLid = await world.receive({ jid: lid, messageId: 'BY-LID' });
    expect(byLid.chatId).not.toBe(byNumber.chatId);
    const again = await world.receive({ jid, lid, messageId: 'BY-LID' });
    expect(again).toMatchObject({ outcome: 'known', chatId: byLid.chatId });
    await world.receive({ jid, lid, content: { kind: 'revoke', target: 'BY-LID' } });
    const { revoked_at: revokedAt } = await world.message(byLid.id ?? 0);
    expect(revokedAt).not.toBeNull();
    expect(await world.receive({ jid, lid })).toMatchObject({ chatId: byNumber.chatId });
  });
});
