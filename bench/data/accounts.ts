import { hashPassword } from '../../platform/password.ts';
import type { Queries } from '../../platform/postgres.ts';
import { sql } from '../../platform/sql.ts';
import { drawFrom } from './draw.ts';
import type { LoadOptions } from './load.ts';
import { LAST_NAMES, FIRST_NAMES, STAGES, TAGS } from './words.ts';

/** The first user of account n is `admin-n`. */
export const PASSWORD = 'a password for measuring';
/** Exponent of the accounts' sizes: at 50 accounts the largest is 31 % and the smallest 0.3 %. */
const SKEW = 1.2;

/**
 * Accounts with what each begins with, and users, devices, tags and stages that grow with it. Temporary tables tell the
 * rest of the load what there is: bench_accounts (place, share), bench_users, bench_devices, bench_tags and
 * bench_stages (each with a place from 0 within its account).
 */
export async function createAccounts(db: Queries, options: LoadOptions): Promise<void> {
  const { volume } = options;
  await db.query(sql`
    create temporary table bench_accounts as
    select number::integer as place, null::bigint as id, share, sum(share) over (order by number) as upto
    from (
      select number, power(number, ${-SKEW}::double precision)
        / sum(power(number, ${-SKEW}::double precision)) over () as share
      from generate_series(1, ${volume.accounts}::integer) as number
    ) as weighed`);
  await db.query(sql`
    with made as (
      insert into public.accounts (name, slug, max_devices)
      select 'Empresa ' || place, 'empresa-' || place, 20 from bench_accounts order by place
      returning id, slug
    )
    update bench_accounts set id = made.id from made where made.slug = 'empresa-' || bench_accounts.place`);
  await db.query(sql`select clarin.seed_account_defaults(id) from bench_accounts order by place`);
  await createUsers(db, options);
  await createDevices(db);
  await createTags(db);
  await createStages(db);
}

/** From 2 to 30, the first an administrator. All have the same password, hashed once. */
async function createUsers(db: Queries, { seed }: LoadOptions): Promise<void> {
  const draw = drawFrom(sql`(account.place * 1000 + number)`, seed, 1);
  await db.query(sql`
    create temporary table bench_users as
    select account.id as account_id, (number - 1)::integer as place, null::bigint as id,
      case when number = 1 then 'admin-' || account.place else 'user-' || account.place || '-' || number end as username,
      ${draw.oneOf(1, FIRST_NAMES)} || ' ' || ${draw.oneOf(2, LAST_NAMES)} as display_name
    from bench_accounts as account
    cross join lateral generate_series(1, 2 + floor(account.share * 90)::integer) as number`);
  await db.query(sql`
    with made as (
      insert into public.users (username, display_name, password_hash)
      select username, display_name, ${await hashPassword(PASSWORD)} from bench_users order by account_id, place
      returning id, username
    )
    update bench_users set id = made.id from made where made.username = bench_users.username`);
  await db.query(sql`
    insert into public.memberships (account_id, user_id, role_id, is_default)
    select bench_users.account_id, bench_users.id, role.id, true
    from bench_users
    join public.roles as role on role.account_id = bench_users.account_id
      and role.name = case when place = 0 then 'Administrator' else 'Agent' end
    order by bench_users.id`);
}

/** From 1 to 10. */
async function createDevices(db: Queries): Promise<void> {
  await db.query(sql`
    insert into public.devices (account_id, name, phone, jid, status, wanted)
    select account.id, 'Número ' || number, '5198' || lpad((account.place * 100 + number)::text, 7, '0'),
      '5198' || lpad((account.place * 100 + number)::text, 7, '0') || '@s.whatsapp.net', 'connected', 'connected'
    from bench_accounts as account
    cross join lateral generate_series(1, 1 + least(9, floor(account.share * 50)::integer)) as number
    order by account.place, number`);
  await db.query(sql`
    create temporary table bench_devices as
    select account_id, id, (row_number() over (partition by account_id order by id) - 1)::integer as place
    from public.devices`);
}

/** The same two dozen names everywhere, and numbered ones in large accounts. */
async function createTags(db: Queries): Promise<void> {
  await db.query(sql`
    insert into public.tags (account_id, name, color)
    select account.id, tag.name, '#' || left(md5(tag.name), 6)
    from bench_accounts as account
    cross join lateral (
      select name, place from unnest(${TAGS}::text[]) with ordinality as known (name, place)
      union all
      select 'Lote ' || number, 100 + number from generate_series(1, floor(account.share * 600)::integer) as number
    ) as tag
    order by account.place, tag.place`);
  await db.query(sql`
    create temporary table bench_tags as
    select account_id, id, (row_number() over (partition by account_id order by id) - 1)::integer as place
    from public.tags`);
}

/** Those of the default pipeline, and a second pipeline in every other account. */
async function createStages(db: Queries): Promise<void> {
  await db.query(sql`
    with made as (
      insert into public.pipelines (account_id, name)
      select id, 'Posventa' from bench_accounts where place % 2 = 1 order by place
      returning account_id, id
    )
    insert into public.pipeline_stages (account_id, pipeline_id, name, position)
    select made.account_id, made.id, stage.name, stage.place - 1
    from made
    cross join unnest(${STAGES}::text[]) with ordinality as stage (name, place)
    order by made.id, stage.place`);
  await db.query(sql`
    create temporary table bench_stages as
    select stage.account_id, stage.id, (
        row_number() over (partition by stage.account_id order by pipeline.is_default desc, stage.position, stage.id) - 1
      )::integer as place
    from public.pipeline_stages as stage
    join public.pipelines as pipeline on pipeline.account_id = stage.account_id and pipeline.id = stage.pipeline_id`);
}
