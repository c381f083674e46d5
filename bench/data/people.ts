import type { Queries } from '../../platform/postgres.ts';
import { sql, type Sql } from '../../platform/sql.ts';
import { drawFrom } from './draw.ts';
import type { LoadOptions } from './load.ts';
import { withoutIndexes } from './secondary-indexes.ts';
import { COMPANIES, FIRST_NAMES, LAST_NAMES, PRODUCTS, SOURCES } from './words.ts';

/** A prime above the number of phones: every number gives another one. */
const PHONES = 99_999_989;

/** Contacts and leads with their tags, the accounts' rows mixed as time mixes them. All triggers fire. */
export async function loadPeople(db: Queries, options: LoadOptions): Promise<void> {
  await withoutIndexes(db, ['contacts', 'contact_identities'], () => loadContacts(db, options));
  await db.query(sql`
    create temporary table bench_contacts as
    select account_id, id, display_name, phone, jid, is_group, created_at,
      (row_number() over (partition by account_id order by id) - 1)::integer as place,
      (count(*) over (partition by account_id))::integer as total
    from public.contacts`);
  await db.query(sql`create unique index on bench_contacts (account_id, place)`);
  await db.query(sql`analyze bench_contacts`);
  await withoutIndexes(db, ['leads'], () => loadLeads(db, options));
  await withoutIndexes(db, ['contact_tags', 'lead_tags'], () => linkTags(db, options));
}

/** The account of a row, by how large each is. `draw` is even from 0 up to 1. */
export function accountOf(draw: Sql): Sql {
  return sql`(
    (select array_agg(id order by place) from bench_accounts)
  )[1 + least(
    width_bucket(${draw}, (select array_agg(upto order by place) from bench_accounts)::double precision[]),
    (select count(*) from bench_accounts) - 1
  )::integer]`;
}

async function loadContacts(db: Queries, { seed, volume }: LoadOptions): Promise<void> {
  const draw = drawFrom(sql`number`, seed, 2);
  const total = volume.contacts;
  await db.query(sql`
    insert into public.contacts (account_id, jid, phone, name, push_name, custom_name, email, company, source, is_group,
      do_not_contact, notes, kommo_id, created_at, updated_at)
    select account_id,
      case when is_group then '1203630' || phone || '@g.us' when ${draw.chance(10, 0.7)} then phone || '@s.whatsapp.net' end,
      case when not is_group then phone end,
      case when is_group then 'Grupo ' || last_name when ${draw.chance(11, 0.85)} then first_name || ' ' || last_name end,
      case when ${draw.chance(12, 0.6)} then first_name || ' 🌻' end,
      case when ${draw.chance(13, 0.1)} then first_name || ' ' || company end,
      case when ${draw.chance(14, 0.3)} then 'correo' || number || '@example.com' end,
      case when ${draw.chance(15, 0.4)} then company end,
      ${draw.oneOf(16, SOURCES)}, is_group, ${draw.chance(17, 0.02)},
      case when ${draw.chance(18, 0.1)} then 'Llamar por la tarde, pregunta por ' || company end,
      case when ${draw.chance(19, 0.2)} then number end,
      created_at, created_at + ${draw.between(20)} * (now() - created_at)
    from (
      select number, ${accountOf(draw.between(1))} as account_id, ${draw.chance(2, 0.02)} as is_group,
        '519' || lpad((number * 48271 % ${PHONES}::bigint)::text, 8, '0') as phone,
        ${draw.oneOf(3, FIRST_NAMES)} as first_name,
        ${draw.oneOf(4, LAST_NAMES)} || ' ' || ${draw.oneOf(5, LAST_NAMES)} as last_name,
        ${draw.oneOf(6, COMPANIES)} as company,
        now() - interval '2 years' * ((${total}::integer - number)::double precision / ${total}::integer) as created_at
      from generate_series(1::bigint, ${total}::bigint) as number
    ) as person
    order by number`);
}

async function loadLeads(db: Queries, { seed, volume }: LoadOptions): Promise<void> {
  const draw = drawFrom(sql`number`, seed, 3);
  const total = volume.leads;
  await db.query(sql`
    insert into public.leads (account_id, contact_id, title, value, stage_id, position, assigned_to, source, notes, kommo_id,
      archived_at, deleted_at, created_at, updated_at)
    select wanted.account_id, contact.id, ${draw.oneOf(10, PRODUCTS)} || ' - ' || contact.display_name,
      ${draw.integer(11, 5_000, 3)} * 10, stage.id, number, assignee.id, ${draw.oneOf(12, SOURCES)},
      case when ${draw.chance(13, 0.2)} then 'Pidió descuento, volver a llamar el ' || number % 28 end,
      case when ${draw.chance(14, 0.2)} then number end,
      case when ${draw.chance(15, 0.06)} then wanted.created_at + interval '30 days' end,
      case when ${draw.chance(16, 0.02)} then now() - interval '20 days' * ${draw.between(17)} end,
      wanted.created_at, wanted.created_at + ${draw.between(18)} * (now() - wanted.created_at)
    from (
      select number, ${accountOf(draw.between(1))} as account_id,
        now() - interval '2 years' * ((${total}::integer - number)::double precision / ${total}::integer) as created_at
      from generate_series(1::bigint, ${total}::bigint) as number
    ) as wanted
    join (select account_id, count(*)::integer as total from bench_contacts group by account_id) as people using (account_id)
    join bench_contacts as contact
      on contact.account_id = wanted.account_id and contact.place = ${draw.integer(2, sql`people.total`)}
    join (select account_id, count(*)::integer as total from bench_stages group by account_id) as stages
      on stages.account_id = wanted.account_id
    join bench_stages as stage
      on stage.account_id = wanted.account_id and stage.place = ${draw.integer(3, sql`stages.total`, 1.4)}
    join (select account_id, count(*)::integer as total from bench_users group by account_id) as users
      on users.account_id = wanted.account_id
    left join bench_users as assignee
      on assignee.account_id = wanted.account_id and assignee.place = ${draw.integer(4, sql`users.total`, 1.3)}
        and ${draw.chance(5, 0.8)}
    order by number`);
}

/** One tag is on nearly every lead, most on few: the first in place come most. */
async function linkTags(db: Queries, { seed }: LoadOptions): Promise<void> {
  const draw = drawFrom(sql`(row.id * 8 + slot)`, seed, 4);
  const chosen = (isNearlyAll: Sql): Sql =>
    sql`case when slot = 0 then case when ${isNearlyAll} then 0 end
      when ${draw.chance(1, 0.45)} then 1 + ${draw.integer(2, sql`(known.total - 1)`, 2)} end`;
  const counted = sql`(select account_id, count(*)::integer as total from bench_tags group by account_id)`;
  await db.query(sql`
    insert into public.lead_tags (account_id, lead_id, tag_id)
    select row.account_id, row.id, tag.id
    from public.leads as row
    join ${counted} as known on known.account_id = row.account_id
    cross join generate_series(0, 3) as slot
    join bench_tags as tag on tag.account_id = row.account_id and tag.place = ${chosen(draw.chance(3, 0.85))}
    order by row.id
    on conflict do nothing`);
  await db.query(sql`
    insert into public.contact_tags (account_id, contact_id, tag_id)
    select row.account_id, row.id, tag.id
    from public.contacts as row
    join ${counted} as known on known.account_id = row.account_id
    cross join generate_series(0, 2) as slot
    join bench_tags as tag on tag.account_id = row.account_id and tag.place = ${chosen(draw.chance(4, 0.5))}
    order by row.id
    on conflict do nothing`);
}
