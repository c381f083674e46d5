import type { TextRow } from '../../platform/postgres.ts';
import { sql } from '../../platform/sql.ts';
import { eventually } from '../support/services.ts';
import { openWorld, type World } from './plain-sql-world.ts';

/** Columns of a message as plain SQL writes them; the rest has defaults. */
export type Said = {
  readonly chat: number;
  readonly at?: string;
  readonly stanza?: string;
  readonly body?: string | null;
  readonly type?: string;
  readonly mine?: boolean;
  readonly status?: string;
  readonly target?: string;
  readonly from?: string;
  readonly mediaId?: number;
};

export type ConversationWorld = World & {
  /** An empty chat of a contact of its own, by the first device. */
  newChat(jid?: string): Promise<number>;
  /** All of them in one statement; ids in the same order. */
  say(...messages: readonly Said[]): Promise<number[]>;
  chat(id: number): Promise<TextRow>;
  message(id: number): Promise<TextRow>;
  setStatus(id: number, status: string): Promise<void>;
  /** Ends as soon as one session of this database waits for a lock of another. */
  untilOneWaits(): Promise<unknown>;
  /** Changes of rows that some work puts into the write-ahead log, as `messages: INSERT`, but for the audit's. */
  logged(work: () => Promise<unknown>): Promise<string[]>;
};

/** A moment of one day, `09:30` say, so that order is what a test says it is. */
export function at(time: string): string {
  return `2026-03-01 ${time}:00+00`;
}

export async function openConversationWorld(): Promise<ConversationWorld> {
  const world = await openWorld();
  const { db } = world;
  const { accountId, deviceIds } = world.ours;
  const slot = `said_${accountId}_${process.pid}`;
  let chats = 0;
  let hasSlot = false;
  const changes = async (): Promise<string[]> => {
    const rows = await db.query(sql`
      select substring(data from '^table public\.([a-z_]+: [A-Z]+)') as change
      from pg_logical_slot_get_changes(${slot}, null, null, 'skip-empty-xacts', '1')
      where data like 'table public.%' and data not like 'table public.audit_log:%'`);
    return rows.map((row) => row['change'] ?? '');
  };
  return {
    ...world,
    newChat: async (jid = `519${String(10_000_000 + ++chats)}@s.whatsapp.net`) => {
      const { id: contactId } = await world.one(sql`
        insert into public.contacts (account_id, name) values (${accountId}, 'Somebody') returning id`);
      const { id } = await world.one(sql`
        insert into public.chats (account_id, device_id, contact_id, jid)
        values (${accountId}, ${deviceIds[0]}, ${contactId}, ${jid})
        returning id`);
      return Number(id);
    },
    say: async (...messages) => {
      const rows = await db.query(sql`
        insert into public.messages (
          account_id, chat_id, message_id, sent_at, body, message_type, is_from_me, status, target_message_id,
          from_jid, media_id
        )
        select ${accountId}, said.chat, coalesce(said.stanza, gen_random_uuid()::text), coalesce(said.at, now()),
          said.body, coalesce(said.type, 'text'), coalesce(said.mine, false),
          coalesce(said.status, case when said.mine then 'sent' else 'received' end), said.target, said."from",
          said."mediaId"
        from jsonb_to_recordset(${JSON.stringify(messages)}::jsonb) as said (
          chat bigint, stanza text, at timestamptz, body text, type text, mine boolean, status text, target text,
          "from" text, "mediaId" bigint
        )
        returning id`);
      return rows.map((row) => Number(row['id']));
    },
    chat: (id) =>
      world.one(sql`
        select last_message_id, last_message, last_message_type, last_message_is_from_me,
          last_message_at = active_at as is_sorted_by_it, to_char(last_message_at, 'HH24:MI') as last_at,
          to_char(last_inbound_at, 'HH24:MI') as inbound_at, to_char(last_read_at, 'HH24:MI') as read_at,
          unread_count, is_unread, contact_id, device_id, updated_at
        from public.chats where id = ${id}`),
    message: (id) =>
      world.one(sql`
        select body, status, status_at, error, edited_at, revoked_at, chat_id, device_id, media, media_id, updated_at
        from public.messages where id = ${id}`),
    setStatus: async (id, status) => {
      await db.query(sql`update public.messages set status = ${status} where id = ${id}`);
    },
    untilOneWaits: () =>
      eventually(
        async () => {
          const { n } = await world.one(sql`
            select count(*) as n from pg_stat_activity
            where datname = current_database() and wait_event_type = 'Lock'`);
          return n === '1';
        },
        { says: 'one waits for the other' },
      ),
    logged: async (work) => {
      if (!hasSlot) {
        await db.query(sql`select pg_create_logical_replication_slot(${slot}, 'test_decoding')`);
        hasSlot = true;
      }
      await changes();
      await work();
      return changes();
    },
  };
}
