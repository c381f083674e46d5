import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { sql } from '../../platform/sql.ts';
import { openWorld, type World } from './plain-sql-world.ts';

let world: World;

beforeAll(async () => {
  world = await openWorld();
});

afterAll(() => world.close());

describe('updated_at', () => {
  it('moves strictly upwards when something changes, whatever the writer says', async () => {
    const id = await world.newLead();
    const before = await world.lead(id);
    await world.db.query(
      sql`update public.leads set updated_at = '2000-01-01', title = 'B' where id = ${id}`,
    );
    await world.db.query(sql`update public.leads set updated_at = 'infinity' where id = ${id}`);
    const after = await world.lead(id);
    const [order] = await world.db.query(
      sql`select ${after['updated_at']}::timestamptz > ${before['updated_at']}::timestamptz as is_later`,
    );
    expect(order?.['is_later']).toBe('t');
    expect(after['updated_at']).not.toBe('infinity');
  });

  it('moves at every change of one transaction', async () => {
    const id = await world.newLead();
    const { value: stamps } = await world.db.transaction(async (tx) => {
      const seen: unknown[] = [];
      for (const title of ['B', 'C', 'D']) {
        seen.push(
          (
            await world.one(
              sql`update public.leads set title = ${title} where id = ${id} returning updated_at`,
              tx,
            )
          )['updated_at'],
        );
      }
      return seen;
    });
    expect(new Set(stamps).size).toBe(3);
  });

  it('stays when nothing changes', async () => {
    const id = await world.newLead();
    const before = await world.lead(id);
    await world.db.query(
      sql`update public.leads set title = title, custom_fields = custom_fields where id = ${id}`,
    );
    expect(await world.lead(id)).toEqual(before);
  });

  it('moves for a change that equality does not see', async () => {
    const id = await world.newLead();
    await world.db.query(sql`update public.leads set position = 0 where id = ${id}`);
    const before = await world.lead(id);
    await world.db.query(sql`update public.leads set position = '-0' where id = ${id}`);
    expect((await world.lead(id))['updated_at']).not.toBe(before['updated_at']);
  });

  it('moves for a column that was added later', async () => {
    const id = await world.newLead();
    const before = await world.lead(id);
    await world.db.query(sql`alter table public.leads add column added_later text`);
    await world.db.query(sql`update public.leads set added_later = 'x' where id = ${id}`);
    expect((await world.lead(id))['updated_at']).not.toBe(before['updated_at']);
    await world.db.query(sql`alter table public.leads drop column added_later`);
  });

  it('is kept in a session that replicates', async () => {
    const id = await world.newLead();
    const before = await world.lead(id);
    await world.db.transaction(async (tx) => {
      await tx.query(sql`set local session_replication_role = replica`);
      await tx.query(sql`update public.leads set title = 'B' where id = ${id}`);
    });
    expect((await world.lead(id))['updated_at']).not.toBe(before['updated_at']);
  });
});

describe('a lead', () => {
  it('gets the default stage of its account and the pipeline of its stage', async () => {
    const row = await world.lead(await world.newLead());
    expect(row).toMatchObject({
      stage_id: String(world.ours.stages.active[0]),
      pipeline_id: String(world.ours.pipelineId),
      status: 'open',
    });
  });

  it('is refused in words when there is no stage to put it in', async () => {
    const { id } = await world.one(
      sql`insert into public.accounts (name, slug) values ('Bare', 'bare') returning id`,
    );
    const { id: contactId } = await world.one(
      sql`insert into public.contacts (account_id) values (${id}) returning id`,
    );
    await expect(
      world.db.query(
        sql`insert into public.leads (account_id, contact_id, title) values (${id}, ${contactId}, 'x')`,
      ),
    ).rejects.toMatchObject({
      code: 'unprocessable',
      message: expect.stringContaining('no default stage') as string,
    });
    await expect(world.newLead(world.theirs.stages.won)).rejects.toMatchObject({
      code: 'unprocessable',
    });
  });

  it('follows its stage in status, pipeline and closed_at, and back', async () => {
    const other = await world.newPipeline();
    const id = await world.newLead();
    await world.db.query(
      sql`update public.leads set stage_id = ${other.won}, close_reason = 'signed' where id = ${id}`,
    );
    const won = await world.lead(id);
    expect(won).toMatchObject({
      status: 'won',
      pipeline_id: String(other.id),
      close_reason: 'signed',
    });
    expect(won['closed_at']).not.toBeNull();
    await world.db.query(sql`update public.leads set stage_id = ${other.lost} where id = ${id}`);
    const lost = await world.lead(id);
    expect(lost['status']).toBe('lost');
    expect(lost['closed_at']).not.toBe(won['closed_at']);
    await world.db.query(sql`update public.leads set stage_id = ${other.active} where id = ${id}`);
    expect(await world.lead(id)).toMatchObject({
      status: 'open',
      closed_at: null,
      close_reason: null,
    });
  });

  it('keeps a status that contradicts its stage from being written', async () => {
    const id = await world.newLead();
    await world.db.query(
      sql`update public.leads set status = 'won', closed_at = now() where id = ${id}`,
    );
    expect(await world.lead(id)).toMatchObject({ status: 'open', closed_at: null });
  });

  it('never has a stage of another pipeline or account', async () => {
    const other = await world.newPipeline();
    const id = await world.newLead();
    await expect(
      world.db.query(sql`update public.leads set pipeline_id = ${other.id} where id = ${id}`),
    ).rejects.toMatchObject({ code: 'conflict' });
    await expect(
      world.db.query(
        sql`update public.leads set contact_id = ${world.theirs.contactIds[0]} where id = ${id}`,
      ),
    ).rejects.toMatchObject({ code: 'conflict' });
    await expect(
      world.db.query(
        sql`update public.leads set assigned_to = ${world.theirs.userId} where id = ${id}`,
      ),
    ).rejects.toMatchObject({ code: 'conflict' });
  });

  it('follows its stage when the type of the stage changes', async () => {
    const pipeline = await world.newPipeline();
    const id = await world.newLead(pipeline.won);
    await world.db.transaction(async (tx) => {
      await tx.query(
        sql`update public.pipeline_stages set type = 'active' where id = ${pipeline.won}`,
      );
      await tx.query(
        sql`update public.pipeline_stages set type = 'won' where id = ${pipeline.active}`,
      );
    });
    expect((await world.lead(id))['status']).toBe('open');
  });

  it('loses its owner with the membership, and nothing else', async () => {
    const { id: userId } = await world.one(
      sql`insert into public.users (username, display_name, password_hash) values ('leaver', 'L', '-') returning id`,
    );
    await world.db.query(sql`
      insert into public.memberships (account_id, user_id, role_id)
      select ${world.ours.accountId}, ${userId}, id from public.roles where account_id = ${world.ours.accountId} and name = 'Agent'`);
    const id = await world.newLead();
    await world.db.query(sql`update public.leads set assigned_to = ${userId} where id = ${id}`);
    await world.db.query(sql`delete from public.memberships where user_id = ${userId}`);
    expect(
      await world.one(sql`select assigned_to, account_id from public.leads where id = ${id}`),
    ).toEqual({ assigned_to: null, account_id: String(world.ours.accountId) });
  });

  it('takes its tag links along and leaves the contact', async () => {
    const id = await world.newLead();
    await world.db.query(
      sql`insert into public.lead_tags (account_id, lead_id, tag_id) values (${world.ours.accountId}, ${id}, ${world.ours.tagIds[0]})`,
    );
    await expect(
      world.db.query(sql`delete from public.contacts where id = ${world.ours.contactIds[0]}`),
    ).rejects.toMatchObject({ code: 'conflict' });
    await world.db.query(sql`delete from public.leads where id = ${id}`);
    expect(
      await world.db.query(sql`select id from public.lead_tags where lead_id = ${id}`),
    ).toEqual([]);
    expect(
      await world.db.query(
        sql`select id from public.contacts where id = ${world.ours.contactIds[0]}`,
      ),
    ).toHaveLength(1);
  });

  it('refuses values that are no money and no position', async () => {
    const id = await world.newLead();
    for (const value of ['NaN', '-1', '1000000000000']) {
      await expect(
        world.db.query(sql`update public.leads set value = ${value}::numeric where id = ${id}`),
      ).rejects.toMatchObject({ code: 'unprocessable' });
    }
    for (const position of ['NaN', 'Infinity', '-Infinity']) {
      await expect(
        world.db.query(sql`update public.leads set position = ${position} where id = ${id}`),
      ).rejects.toMatchObject({ code: 'unprocessable' });
    }
    await expect(
      world.db.query(sql`update public.leads set custom_fields = '[]' where id = ${id}`),
    ).rejects.toMatchObject({ code: 'unprocessable' });
  });
});
