import type { Log } from '../platform/log.ts';
import { hashPassword } from '../platform/password.ts';
import { createDatabase, type Queries } from '../platform/postgres.ts';
import { sql } from '../platform/sql.ts';

/** The demo login of `clarin dev`, on a machine of one's own. Never seeded by `clarin migrate`. */
const DEMO_LOGIN = { username: 'demo', password: 'clarin-demo' } as const;
const SLUG = 'demo';
const CONTACTS = 20;
const LEADS = 40;
const STATEMENT_TIMEOUT_MS = 10_000;

/**
 * A demo account with roles, a pipeline, tags, contacts, leads and conversations, and a user for it. Whoever calls it again changes nothing:
 * what people did to the account since stays.
 */
export async function seedDemo(options: {
  url: string;
  log: Log;
}): Promise<{ username: string; password: string; accountId: number }> {
  const database = createDatabase({
    url: options.url,
    applicationName: 'clarin seed',
    max: 1,
    statementTimeoutMs: STATEMENT_TIMEOUT_MS,
    log: options.log,
  });
  try {
    const { value: accountId } = await database.transaction(
      async (tx) => {
        await tx.query(sql`select pg_advisory_xact_lock(hashtext('clarin seed'))`);
        const [known] = await tx.query(sql`select id from public.accounts where slug = ${SLUG}`);
        if (known) return Number(known['id']);
        const id = await createDemo(tx);
        options.log.info({ account: id }, 'demo account created');
        return id;
      },
      { origin: { source: 'system' } },
    );
    return { ...DEMO_LOGIN, accountId };
  } finally {
    await database.close();
  }
}

async function createDemo(tx: Queries): Promise<number> {
  const [account] = await tx.query(sql`
    insert into public.accounts (name, slug) values ('Demo', ${SLUG})
    returning id`);
  const accountId = Number(account?.['id']);
  await tx.query(sql`select clarin.seed_account_defaults(${accountId})`);
  await createUser(tx, accountId);
  await tx.query(sql`
    insert into public.tags (account_id, name, color)
    values
      (${accountId}, 'VIP', '#f59e0b'),
      (${accountId}, 'Returning', '#22c55e'),
      (${accountId}, 'Wholesale', '#6366f1'),
      (${accountId}, 'Follow up', '#ef4444'),
      (${accountId}, 'Newsletter', '#0ea5e9')`);
  await createContacts(tx, accountId);
  await createLeads(tx, accountId);
  await createConversations(tx, accountId);
  return accountId;
}

async function createUser(tx: Queries, accountId: number): Promise<void> {
  const passwordHash = await hashPassword(DEMO_LOGIN.password);
  await tx.query(sql`
    with created as (
      insert into public.users (username, display_name, password_hash)
      values (${DEMO_LOGIN.username}, 'Demo', ${passwordHash})
      on conflict do nothing
      returning id
    ),
    known as (
      select id from created
      union all
      select id from public.users where lower(btrim(username)) = ${DEMO_LOGIN.username}
    )
    insert into public.memberships (account_id, user_id, role_id, is_default)
    select ${accountId}, known.id, role.id, true
    from known
    join public.roles as role on role.account_id = ${accountId} and role.name = 'Administrator'`);
}

async function createContacts(tx: Queries, accountId: number): Promise<void> {
  await tx.query(sql`
    insert into public.contacts (account_id, name, phone, jid, email, company, source)
    select ${accountId}, person.name, person.phone, person.phone || '@s.whatsapp.net',
      lower(replace(person.name, ' ', '.')) || '@example.com',
      (array['Andes Café', 'Lima Textil', 'Norte Logística', null])[1 + number % 4],
      (array['whatsapp', 'web', 'referral'])[1 + number % 3]
    from generate_series(0, ${CONTACTS - 1}::integer) as number
    cross join lateral (
      select
        (array['Ana', 'Bruno', 'Carla', 'Diego', 'Elena'])[1 + number % 5] || ' '
          || (array['Quispe', 'Flores', 'Rojas', 'Castro'])[1 + number / 5] as name,
        '519' || lpad((10000000 + number * 7919)::text, 8, '0') as phone
    ) as person`);
  await tx.query(sql`
    insert into public.contact_tags (account_id, contact_id, tag_id)
    select contact.account_id, contact.id, tag.id
    from public.contacts as contact
    join public.tags as tag on tag.account_id = contact.account_id and (contact.id + tag.id) % 4 = 0
    where contact.account_id = ${accountId}`);
}

async function createLeads(tx: Queries, accountId: number): Promise<void> {
  await tx.query(sql`
    with people as (
      select id, display_name, row_number() over (order by id) - 1 as place
      from public.contacts
      where account_id = ${accountId}
    ),
    stages as (
      select id, row_number() over (order by position) - 1 as place, count(*) over () as total
      from public.pipeline_stages
      where account_id = ${accountId}
    )
    insert into public.leads (account_id, contact_id, title, value, stage_id, assigned_to, source, position, created_at)
    select ${accountId}, people.id,
      (array['Order', 'Quote', 'Subscription', 'Renewal'])[1 + number % 4] || ' for ' || people.display_name,
      100 + number * 37.5, stages.id,
      case when number % 3 = 0 then null else member.user_id end,
      (array['whatsapp', 'web', 'referral'])[1 + number % 3],
      number, now() - number * interval '7 hours'
    from generate_series(0, ${LEADS - 1}::integer) as number
    join people on people.place = number % ${CONTACTS}::integer
    join stages on stages.place = number % stages.total
    left join public.memberships as member on member.account_id = ${accountId}`);
  await tx.query(sql`
    insert into public.lead_tags (account_id, lead_id, tag_id)
    select lead.account_id, lead.id, tag.id
    from public.leads as lead
    join public.tags as tag on tag.account_id = lead.account_id and (lead.id + tag.id) % 3 = 0
    where lead.account_id = ${accountId}`);
}

/** A device that was never paired, half of the people in chats with it, and what one may answer with. */
async function createConversations(tx: Queries, accountId: number): Promise<void> {
  const [device] = await tx.query(sql`
    insert into public.devices (account_id, name) values (${accountId}, 'Shop') returning id`);
  await tx.query(sql`
    insert into public.chats (account_id, device_id, contact_id, jid)
    select account_id, ${Number(device?.['id'])}, id, jid
    from public.contacts
    where account_id = ${accountId} and id % 2 = 0`);
  await tx.query(sql`
    insert into public.messages (account_id, chat_id, body, is_from_me, status, sent_at)
    select chat.account_id, chat.id, line.body, line.is_from_me, line.status,
      now() - chat.id * interval '40 minutes' - (4 - line.place) * interval '3 minutes'
    from public.chats as chat
    cross join (
      values
        (1, 'Good morning, do you deliver to Miraflores?', false, 'read'),
        (2, 'Good morning! Yes, from Monday to Saturday.', true, 'read'),
        (3, 'How much is a box?', false, 'received')
    ) as line (place, body, is_from_me, status)
    where chat.account_id = ${accountId}`);
  await tx.query(sql`
    insert into public.quick_replies (account_id, shortcut, title, body)
    values
      (${accountId}, 'hi', 'Greeting', 'Good morning! How can we help?'),
      (${accountId}, 'prices', 'Price list', 'A box is 45 soles, delivery included.')`);
}
