import { chats } from '../../../domain/entities/chats.ts';
import { devices } from '../../../domain/entities/devices.ts';
import { messages } from '../../../domain/entities/messages.ts';
import type { Permission } from '../../../domain/permission.ts';
import type { Sees } from '../../../platform/entity-sql.ts';
import { inReach, type Reach } from '../../../platform/entity-sql/scope.ts';
import type { Queries } from '../../../platform/postgres.ts';
import { join, sql, type Sql } from '../../../platform/sql.ts';

/**
 * Counts of an account. They depend on the clock by one thing only, the account's day, and days begin at a quarter of
 * an hour everywhere on Earth: so the quarter they are counted in is part of their name in the cache, and whoever
 * counts again later (`clarin verify`) gets the same.
 */
const QUARTER_MS = 15 * 60_000;

/** Field of the dashboard in its family, `dashboard?2026-11-22T10:15Z`. */
export function dashboardKey(nowMs: number): string {
  return `dashboard?${new Date(nowMs - (nowMs % QUARTER_MS)).toISOString().slice(0, 16)}Z`;
}

/** The moment of a key made by dashboardKey; undefined for any other text. */
export function parseDashboardKey(key: string): string | undefined {
  const moment = /^dashboard\?(\d{4}-\d\d-\d\dT\d\d:\d\dZ)$/.exec(key)?.[1];
  return moment !== undefined && Number.isFinite(Date.parse(moment)) ? moment : undefined;
}

/** Field of the pipelines' counts in their family. */
export const PIPELINE_COUNTS_KEY = 'all';

type Options = Reach & {
  /** RFC 3339. */
  readonly moment: string;
  readonly sees: Sees;
  readonly signal?: AbortSignal | undefined;
};

/** What is counted, and who may see it. */
const SECTIONS: Readonly<Record<string, { permission: Permission; count: (reach: Reach) => Sql }>> =
  {
    contacts: { permission: 'contacts', count: countContacts },
    interactions: { permission: 'contacts', count: countInteractions },
    leads: { permission: 'leads', count: countLeads },
    chats: { permission: 'chats', count: countChats },
    messages: { permission: 'chats', count: countMessages },
    devices: { permission: 'devices', count: countDevices },
  };

/** Whether the reader sees all there is to count: only then is there one answer for everybody. */
export function seesEverything({
  sees,
  devices: own,
}: {
  sees: Sees;
  devices?: readonly number[] | undefined;
}): boolean {
  return own === undefined && Object.values(SECTIONS).every(({ permission }) => sees(permission));
}

/**
 * `{"data":{"timezone":"...","day_began_at":"...","contacts":{...},...}}`: a member for everything the reader may
 * see, none for the rest. Undefined: no such account. One statement.
 */
export async function readDashboard(db: Queries, options: Options): Promise<string | undefined> {
  const { accountId, moment, sees, signal } = options;
  const sections = Object.entries(SECTIONS)
    .filter(([, { permission }]) => sees(permission))
    .map(([name, { count }]) => sql`, ${name}::text, (${count(options)})`);
  const rows = await db.query(
    sql`
      with account as (
        select timezone, clarin.start_of_day(${moment}::timestamptz, timezone) as began
        from public.accounts
        where id = ${accountId}
      ),
      day as materialized (
        -- No day is shorter than 23 hours or longer than 25: a day and a half after its beginning is the next one.
        select timezone, began, clarin.start_of_day(began + interval '36 hours', timezone) as ends
        from account
      ),
      ${leadTotals(accountId)}
      select json_build_object(
        'timezone', day.timezone,
        'day_began_at', to_char(day.began, 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')
        ${join(sections, ' ')}
      ) as counts
      from day`,
    { signal },
  );
  const counts = rows[0]?.['counts'];
  return typeof counts === 'string' ? `{"data":${counts}}` : undefined;
}

/** `{"data":[{"id":1,"name":"...","stages":[{"id":1,...,"leads":3,"values":{"USD":10.00}}]}]}`. One statement. */
export async function readPipelineCounts(
  db: Queries,
  { accountId, signal }: { accountId: number; signal?: AbortSignal | undefined },
): Promise<string> {
  const rows = await db.query(
    sql`with ${leadTotals(accountId)} select (${countPipelines(accountId)}) as counts`,
    { signal },
  );
  return `{"data":${rows[0]?.['counts'] ?? '[]'}}`;
}

/** Leads that a list shows when nothing is asked, by stage and currency: amounts of two currencies have no sum. */
function leadTotals(accountId: number): Sql {
  return sql`
    totals as materialized (
      select stage_id, status, currency, count(*) as leads, sum(value) as value
      from public.leads
      where account_id = ${accountId} and archived_at is null and deleted_at is null
      group by stage_id, status, currency
    )`;
}

function countContacts({ accountId }: Reach): Sql {
  return sql`
    select json_build_object(
      'total', count(*),
      'created_today', count(*) filter (where created_at >= day.began and created_at < day.ends)
    )
    from public.contacts
    where account_id = ${accountId}`;
}

/** What people wanted to do next: today, or before it and not yet moved on. */
function countInteractions({ accountId }: Reach): Sql {
  return sql`
    select json_build_object(
      'due_today', count(*) filter (where next_action_at >= day.began),
      'overdue', count(*) filter (where next_action_at < day.began)
    )
    from public.interactions
    where account_id = ${accountId} and next_action_at < day.ends`;
}

function countLeads({ accountId }: Reach): Sql {
  const ofStatus = (status: string): Sql => sql`
    ${status}::text, (
      select json_build_object('leads', coalesce(sum(leads), 0), 'values', coalesce(
        json_object_agg(currency, value order by currency), '{}'
      ))
      from (
        select currency, sum(leads) as leads, sum(value) as value
        from totals
        where status = ${status}
        group by currency
      ) as summed
    )`;
  return sql`
    select json_build_object(
      'total', (select coalesce(sum(leads), 0) from totals),
      ${join(['open', 'won', 'lost'].map(ofStatus))},
      'pipelines', (${countPipelines(accountId)})
    )`;
}

function countPipelines(accountId: number): Sql {
  return sql`
    select coalesce(json_agg(json_build_object('id', pipeline.id, 'name', pipeline.name, 'stages', (
      select coalesce(json_agg(json_build_object(
        'id', stage.id, 'name', stage.name, 'color', stage.color, 'type', stage.type,
        'leads', counted.leads, 'values', counted.amounts
      ) order by stage.position, stage.id), '[]')
      from public.pipeline_stages as stage
      cross join lateral (
        select coalesce(sum(leads), 0) as leads,
          coalesce(json_object_agg(currency, value order by currency), '{}') as amounts
        from totals
        where totals.stage_id = stage.id
      ) as counted
      where stage.account_id = ${accountId} and stage.pipeline_id = pipeline.id
    )) order by pipeline.position, pipeline.id), '[]')
    from public.pipelines as pipeline
    where pipeline.account_id = ${accountId}`;
}

function countChats(reach: Reach): Sql {
  return sql`
    select json_build_object(
      'total', count(*),
      'unread', count(*) filter (where chat.is_unread),
      'unread_messages', coalesce(sum(chat.unread_count), 0)
    )
    from public.chats as chat
    where ${inReach(chats, 'chat', reach)}`;
}

/** Reads today's by the index of their time. What waits or has failed was not sent. */
function countMessages(reach: Reach): Sql {
  return sql`
    select json_build_object(
      'received_today', count(*) filter (where not message.is_from_me),
      'sent_today', count(*) filter (
        where message.is_from_me and message.status not in ('pending', 'sending', 'failed')
      )
    )
    from public.messages as message
    where ${inReach(messages, 'message', reach)} and message.target_message_id is null
      and message.sent_at >= day.began and message.sent_at < day.ends`;
}

function countDevices(reach: Reach): Sql {
  return sql`
    select json_build_object('total', coalesce(sum(counted.devices), 0), 'statuses', coalesce(
      json_object_agg(counted.status, counted.devices order by counted.status), '{}'
    ))
    from (
      select device.status, count(*) as devices
      from public.devices as device
      where ${inReach(devices, 'device', reach)}
      group by device.status
    ) as counted`;
}
