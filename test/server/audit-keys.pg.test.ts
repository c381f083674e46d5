import { beforeAll, describe, expect, test } from 'vitest';
import { ident, sql, type Sql } from '../../platform/sql.ts';
import { restrictedTo } from './restricted-role.ts';
import { startTestApi, type Caller, type TestApi } from './support.ts';

type Entry = {
  action: string;
  entity: string;
  entity_id: number;
  before?: Record<string, unknown>;
  after?: Record<string, unknown>;
};

let api: TestApi;
let admin: Caller;
/** Reads the log, and no chat, no contact and no lead. */
let clerk: { readonly token: string };

beforeAll(async () => {
  api = await startTestApi();
  admin = await api.account('audited');
  clerk = await restrictedTo(api, admin, [admin.deviceIds[0]], ['settings']);
});

const run = (statement: Sql) => api.owner.query(statement);

async function entriesOf(entity: string): Promise<Entry[]> {
  const path = `/api/audit_log?entity=${entity}&order=asc&limit=200`;
  return (await api.ask(clerk, 'GET', path)).body.data;
}

async function lastOf(entity: string): Promise<Entry | undefined> {
  return (await entriesOf(entity)).at(-1);
}

/** Everything that people write, wherever the log looks, says `whisper`. */
async function whisper({ accountId }: Caller): Promise<void> {
  await run(sql`
    update public.contacts
    set name = 'whisper', push_name = 'whisper', custom_name = 'whisper', last_name = 'whisper', short_name = 'whisper',
      email = 'whisper@example.com', company = 'whisper', notes = 'whisper', source = 'whisper',
      custom_fields = '{"whisper": "whisper"}', jid = 'whisper' || id || '@lid', lid = 'whisper' || id || '@lid',
      avatar_url = 'https://example.com/whisper', age = 34, do_not_contact = not do_not_contact,
      do_not_contact_reason = 'whisper'
    where account_id = ${accountId}`);
  await run(sql`
    update public.leads
    set title = 'whisper', notes = 'whisper', source = 'whisper', custom_fields = '{"whisper": "whisper"}'
    where account_id = ${accountId}`);
  await run(sql`
    update public.chats set jid = 'whisper' || id || '@lid', name = 'whisper' where account_id = ${accountId}`);
  await run(sql`
    insert into public.messages (account_id, chat_id, body, from_jid, sent_at)
    select account_id, id, 'whisper', 'whisper@lid', now() from public.chats where account_id = ${accountId}`);
  await run(sql`
    update public.media set filename = 'whisper', object_key = 'whisper' || id where account_id = ${accountId}`);
  await run(sql`update public.quick_replies set body = 'whisper' where account_id = ${accountId}`);
  await run(sql`
    update public.campaigns set template = 'whisper', status_reason = 'whisper' where account_id = ${accountId}`);
  await run(sql`
    update public.devices
    set phone = 'whisper', jid = 'whisper' || id || '@lid', pushname = 'whisper', status_reason = 'whisper',
      wanted = 'logged_out', receive_messages = not receive_messages
    where account_id = ${accountId}`);
  await run(sql`
    update public.users set email = 'whisper@example.com'
    where id = (select min(user_id) from public.memberships where account_id = ${accountId})`);
  await run(sql`
    update public.kommo_connections set status = 'disconnected', status_reason = 'whisper' where account_id = ${accountId}`);
  await run(sql`
    insert into public.imports (account_id, filename, object_key, size, encoding, separator, mapping, created_by)
    values (${accountId}, 'whisper.csv', 'whisper', 10, 'utf-8', ',', '{"columns": ["whisper"]}', ${admin.userId})`);
  await run(sql`
    insert into public.media (account_id, object_key, mimetype, filename, state, created_by)
    values (${accountId}, 'another whisper', 'image/png', 'whisper.png', 'stored', ${admin.userId})`);
  await run(sql`
    insert into public.quick_replies (account_id, shortcut, title, body)
    values (${accountId}, 'by', 'Farewell', 'whisper')`);
}

const GOING = [
  'campaigns',
  'quick_replies',
  'imports',
  'media',
  'leads',
  'chats',
  'contacts',
  'tags',
  'kommo_connections',
  'devices',
  'api_keys',
] as const;

describe('the audit log', () => {
  test('[A13] shows nothing that people wrote, whatever changes and whatever goes', async () => {
    await whisper(admin);
    for (const table of GOING)
      await run(sql`delete from public.${ident(table)} where account_id = ${admin.accountId}`);
    for (const table of GOING) {
      const last = await lastOf(table);
      expect([table, last?.action]).toEqual([table, 'delete']);
      expect([table, last?.before]).toEqual([
        table,
        expect.objectContaining({ id: last?.entity_id }),
      ]);
    }
    for (const entity of ['contacts', 'campaigns', 'devices', 'quick_replies', 'users']) {
      const updates = (await entriesOf(entity)).filter(({ action }) => action === 'update');
      expect([entity, updates.length > 0]).toEqual([entity, true]);
    }
    const shown: number[] = [];
    for (let page = 1, more = true; more; page++) {
      const { text, body } = await api.ask(clerk, 'GET', `/api/audit_log?limit=200&page=${page}`);
      expect(text).not.toContain('whisper');
      shown.push(...body.data.map(({ id }: { id: number }) => id));
      more = shown.length < body.total;
    }
    expect(shown.length).toBeGreaterThan(40);
  });

  test('[A13] says of a row that is gone which one it was, and of a setting what it was called', async () => {
    const other = await api.account('others');
    const [contact, device, chat] = [other.contactIds[0], other.deviceIds[1], other.chatIds[0]];
    const role = await api.ask(other, 'POST', '/api/roles', {
      body: { name: 'Gone', permissions: ['leads'] },
    });
    await api.ask(other, 'DELETE', `/api/roles/${role.body.data.id}`);
    await run(sql`delete from public.chats where id = ${chat}`);
    await run(sql`delete from public.quick_replies where account_id = ${other.accountId}`);
    await run(sql`delete from public.tags where id = ${other.tagIds[0]}`);
    const gone = async (entity: string) => {
      const path = `/api/audit_log?action=delete&entity=${entity}`;
      const { data } = (await api.ask(other, 'GET', path)).body;
      return data.map(({ before }: Entry) => before);
    };
    expect(await gone('chats')).toEqual([
      { id: chat, device_id: device, contact_id: contact, last_message_id: other.messageIds[2] },
    ]);
    expect(await gone('roles')).toEqual([{ id: role.body.data.id, name: 'Gone' }]);
    expect(await gone('tags')).toEqual([{ id: other.tagIds[0], name: 'Tag 1' }]);
    expect(await gone('quick_replies')).toEqual([
      { id: expect.any(Number), shortcut: 'hi', title: 'Greeting' },
    ]);
  });

  test('[A13] names what changed, and shows the values of what is configured only', async () => {
    const other = await api.account('changing');
    const [id = 0] = other.contactIds;
    const last = async (entity: string): Promise<Entry> =>
      (await api.ask(other, 'GET', `/api/audit_log?entity=${entity}&limit=1`)).body.data[0];
    await run(sql`
      update public.contacts
      set do_not_contact = true, do_not_contact_by = ${other.userId}, do_not_contact_reason = 'rude', notes = 'x', age = 50
      where id = ${id}`);
    expect(await last('contacts')).toMatchObject({ action: 'update', entity_id: id });
    expect((await last('contacts')).after).toEqual({
      do_not_contact: true,
      do_not_contact_at: expect.any(String),
      do_not_contact_by: other.userId,
      do_not_contact_reason: '(hidden)',
      notes: '(hidden)',
      age: '(hidden)',
    });
    await run(sql`
      update public.quick_replies set shortcut = 'hey', body = 'Hey' where account_id = ${other.accountId}`);
    expect(await last('quick_replies')).toMatchObject({
      before: { shortcut: 'hi', body: '(hidden)' },
      after: { shortcut: 'hey', body: '(hidden)' },
    });
    await run(sql`
      update public.accounts set settings = '{"theme": null}' where id = ${other.accountId}`);
    expect((await last('accounts')).after).toEqual({ settings: { theme: null } });
  });

  test('lists only columns that are there', async () => {
    const rows = await run(sql`
      select entity.name || '.' || listed.name as wrong
      from (
        select distinct event_object_table::text as name
        from information_schema.triggers
        where action_statement ~ 'clarin\.audit(_removed)?\(\)'
      ) as entity
      cross join lateral unnest(clarin.audit_values(entity.name) || clarin.audit_names(entity.name)) as listed (name)
      where not exists (
        select from information_schema.columns as declared
        where declared.table_schema = 'public' and declared.table_name = entity.name
          and declared.column_name = listed.name
      )`);
    expect(rows).toEqual([]);
  });
});
