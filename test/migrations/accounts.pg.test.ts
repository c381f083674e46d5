import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { TextRow } from '../../platform/postgres.ts';
import { sql, type Sql } from '../../platform/sql.ts';
import { createAccount } from '../support/account-fixture.ts';
import { openWorld, type World } from './plain-sql-world.ts';

let world: World;
let unique = 0;

beforeAll(async () => {
  world = await openWorld();
});

afterAll(() => world.close());

describe('pipelines', () => {
  it('begin with one won and one lost stage and keep exactly one of each', async () => {
    const pipeline = await world.newPipeline();
    await expect(
      world.db.query(
        sql`insert into public.pipeline_stages (account_id, pipeline_id, name, type) values (${world.ours.accountId}, ${pipeline.id}, 'x', 'won')`,
      ),
    ).rejects.toMatchObject({ code: 'conflict' });
    await expect(
      world.db.query(sql`delete from public.pipeline_stages where id = ${pipeline.lost}`),
    ).rejects.toMatchObject({ code: 'unprocessable' });
    await expect(
      world.db.query(
        sql`update public.pipeline_stages set type = 'active' where id = ${pipeline.lost}`,
      ),
    ).rejects.toMatchObject({ code: 'unprocessable' });
    await world.db.query(sql`delete from public.pipelines where id = ${pipeline.id}`);
    expect(
      await world.db.query(
        sql`select id from public.pipeline_stages where pipeline_id = ${pipeline.id}`,
      ),
    ).toEqual([]);
  });

  it('stay while leads are in them', async () => {
    const pipeline = await world.newPipeline();
    await world.newLead(pipeline.active);
    await expect(
      world.db.query(sql`delete from public.pipelines where id = ${pipeline.id}`),
    ).rejects.toMatchObject({ code: 'conflict' });
    await expect(
      world.db.query(sql`delete from public.pipeline_stages where id = ${pipeline.active}`),
    ).rejects.toMatchObject({ code: 'conflict' });
  });

  it('are reordered row by row, and must be in order at the end', async () => {
    const pipeline = await world.newPipeline();
    await world.db.transaction(async (tx) => {
      await tx.query(
        sql`update public.pipeline_stages set position = 10001 where id = ${pipeline.won}`,
      );
      await tx.query(
        sql`update public.pipeline_stages set position = 10000 where id = ${pipeline.lost}`,
      );
    });
    await expect(
      world.db.query(
        sql`update public.pipeline_stages set position = 10000 where id = ${pipeline.won}`,
      ),
    ).rejects.toMatchObject({ code: 'conflict' });
  });

  it('and their stages come at the end when no position is named, even when they come at once', async () => {
    const pipeline = await world.newPipeline();
    await Promise.all(
      ['a', 'b', 'c', 'd'].map((name) =>
        world.db.query(
          sql`insert into public.pipeline_stages (account_id, pipeline_id, name) values (${world.ours.accountId}, ${pipeline.id}, ${name})`,
        ),
      ),
    );
    const rows = await world.db.query(
      sql`select position from public.pipeline_stages where pipeline_id = ${pipeline.id} and type = 'active' order by position`,
    );
    expect(rows.map((row) => row['position'])).toEqual(['0', '1', '2', '3', '4']);
  });

  it('have one default: a new one takes the place of the old', async () => {
    const pipeline = await world.newPipeline();
    await world.db.query(
      sql`update public.pipelines set is_default = true where id = ${pipeline.id}`,
    );
    expect(
      await world.db.query(
        sql`select id from public.pipelines where account_id = ${world.ours.accountId} and is_default`,
      ),
    ).toEqual([{ id: String(pipeline.id) }]);
    await world.db.query(
      sql`update public.pipelines set is_default = true where id = ${world.ours.pipelineId}`,
    );
    expect(
      await world.db.query(
        sql`select id from public.pipelines where account_id = ${world.theirs.accountId} and is_default`,
      ),
    ).toHaveLength(1);
  });
});

describe('contacts', () => {
  it('are called by the first name that is not empty', async () => {
    const { id } = await world.one(sql`
      insert into public.contacts (account_id, jid, phone) values (${world.ours.accountId}, 'x@s.whatsapp.net', '') returning id`);
    const name = async (change: Sql): Promise<unknown> =>
      (
        await world.one(
          sql`update public.contacts set ${change} where id = ${id} returning display_name`,
        )
      )['display_name'];
    expect(await name(sql`display_name = 'ignored'`)).toBe('x@s.whatsapp.net');
    expect(await name(sql`phone = '51999'`)).toBe('51999');
    expect(await name(sql`push_name = ' Pushed '`)).toBe('Pushed');
    expect(await name(sql`name = 'Named'`)).toBe('Named');
    expect(await name(sql`custom_name = 'Custom'`)).toBe('Custom');
    expect(await name(sql`custom_name = '  '`)).toBe('Named');
  });

  it('remember when they asked not to be contacted, and forget it', async () => {
    const change = (flag: boolean): Promise<TextRow> =>
      world.one(sql`
        update public.contacts set do_not_contact = ${flag}, do_not_contact_reason = 'asked' where id = ${world.ours.contactIds[1]}
        returning do_not_contact_at is not null as has_time, do_not_contact_reason as reason`);
    expect(await change(true)).toEqual({ has_time: 't', reason: 'asked' });
    expect(await change(false)).toEqual({ has_time: 'f', reason: null });
  });
});

describe('users', () => {
  /** Sessions that live: of the user, and of a program with a key of theirs. */
  const liveSessions = (userId: number): Promise<TextRow> =>
    world.one(sql`
      select count(*) filter (where api_key_id is null) as own, count(api_key_id) as of_keys
      from public.sessions where user_id = ${userId} and revoked_at is null`);

  it('lose their sessions in every account when they are shut out, get another password or other powers', async () => {
    for (const [change, left] of [
      [sql`is_active = false`, { own: '0', of_keys: '0' }],
      // A program does not know passwords: its key goes on until it is revoked.
      [sql`password_hash = 'other'`, { own: '0', of_keys: '1' }],
      // Keys have no such powers.
      [sql`is_super_admin = true`, { own: '0', of_keys: '1' }],
    ] as const) {
      const fixture = await createAccount(world.db, `revoked-${++unique}`);
      await world.db.query(
        sql`update public.users set display_name = 'Other', failed_logins = 3 where id = ${fixture.userId}`,
      );
      expect(await liveSessions(fixture.userId)).toEqual({ own: '1', of_keys: '1' });
      await world.db.query(sql`update public.users set ${change} where id = ${fixture.userId}`);
      expect(await liveSessions(fixture.userId)).toEqual(left);
    }
  });

  it('who come back find their keys revoked, and saying so', async () => {
    const { userId } = await createAccount(world.db, `back-${++unique}`);
    for (const isActive of [false, true])
      await world.db.query(
        sql`update public.users set is_active = ${isActive} where id = ${userId}`,
      );
    expect(await liveSessions(userId)).toEqual({ own: '0', of_keys: '0' });
    const key = sql`select revoked_at is not null as is_revoked from public.api_keys where user_id = ${userId}`;
    expect(await world.one(key)).toEqual({ is_revoked: 't' });
  });

  it('are told apart by trimmed, lower-cased names and addresses', async () => {
    const insert = (username: string, email: string) =>
      world.db.query(
        sql`insert into public.users (username, email, display_name, password_hash) values (${username}, ${email}, 'x', '-')`,
      );
    await insert('Maria', 'maria@example.com');
    await expect(insert(' maria ', 'other@example.com')).rejects.toMatchObject({
      code: 'conflict',
    });
    await expect(insert('another', 'MARIA@example.com ')).rejects.toMatchObject({
      code: 'conflict',
    });
  });

  it('have one default account', async () => {
    await world.db.query(sql`
      insert into public.memberships (account_id, user_id, role_id, is_default)
      select ${world.theirs.accountId}, ${world.ours.userId}, id, true from public.roles where account_id = ${world.theirs.accountId} limit 1`);
    const rows = await world.db.query(
      sql`select account_id from public.memberships where user_id = ${world.ours.userId} and is_default`,
    );
    expect(rows).toEqual([{ account_id: String(world.theirs.accountId) }]);
    await world.db.query(
      sql`delete from public.memberships where user_id = ${world.ours.userId} and account_id = ${world.theirs.accountId}`,
    );
  });
});

describe('accounts', () => {
  it('keep names of tags and roles apart, whatever their case', async () => {
    await expect(
      world.db.query(
        sql`insert into public.tags (account_id, name) values (${world.ours.accountId}, 'TAG 1')`,
      ),
    ).rejects.toMatchObject({ code: 'conflict' });
    await expect(
      world.db.query(
        sql`insert into public.roles (account_id, name, permissions) values (${world.ours.accountId}, 'agent', '{}')`,
      ),
    ).rejects.toMatchObject({ code: 'conflict' });
    await expect(
      world.db.query(
        sql`insert into public.roles (account_id, name, permissions) values (${world.ours.accountId}, 'x', '{nonsense}')`,
      ),
    ).rejects.toMatchObject({ code: 'unprocessable' });
  });

  it('take the defaults once', async () => {
    await world.db.query(sql`select clarin.seed_account_defaults(${world.ours.accountId})`);
    expect(
      await world.db.query(
        sql`select id from public.roles where account_id = ${world.ours.accountId}`,
      ),
    ).toHaveLength(3);
  });

  it('let rows move to another account where nothing points to them', async () => {
    const { id } = await world.one(
      sql`insert into public.contacts (account_id, name) values (${world.ours.accountId}, 'Mover') returning id`,
    );
    await world.db.query(
      sql`update public.contacts set account_id = ${world.theirs.accountId} where id = ${id}`,
    );
    await expect(
      world.db.query(
        sql`update public.contacts set account_id = ${world.theirs.accountId} where id = ${world.ours.contactIds[0]}`,
      ),
    ).rejects.toMatchObject({ code: 'conflict' });
  });

  it('go with everything in them', async () => {
    const { accountId } = await createAccount(world.db, 'going');
    await world.db.query(sql`delete from public.accounts where id = ${accountId}`);
    expect(
      await world.db.query(sql`select id from public.leads where account_id = ${accountId}`),
    ).toEqual([]);
  });
});

it('every foreign key has an index that begins with its columns', async () => {
  const rows = await world.db.query(sql`
    select con.conrelid::regclass::text || '.' || con.conname as key
    from pg_constraint as con
    where con.contype = 'f' and con.connamespace in ('public'::regnamespace, 'private'::regnamespace)
      and not exists (
        select from pg_index as index
        where index.indrelid = con.conrelid and index.indisvalid
          and (index.indkey::int2[])[0:cardinality(con.conkey) - 1] @> con.conkey
      )`);
  // Its first column is the table's key.
  expect(rows.map((row) => row['key'])).toEqual(['accounts.accounts_default_stage']);
});
