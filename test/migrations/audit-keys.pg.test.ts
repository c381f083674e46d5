import { readdir, readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import type pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createLog } from '../../platform/log.ts';
import {
  connectClient,
  createDatabase,
  queryClient,
  type Database,
} from '../../platform/postgres.ts';
import { ident, sql, type Sql } from '../../platform/sql.ts';
import { createTestDatabase, type TestDatabase } from '../support/services.ts';

const FILES = fileURLToPath(new URL('../../migrations', import.meta.url));
const OURS = '000018_audit_keys.sql';

let outer: TestDatabase;
let admin: Database;
let client: pg.Client;
const name = `clarin_before_${process.pid}`;

/** A file as it is, in one transaction, as run.ts applies it. */
const apply = async (file: string): Promise<void> => {
  await client.query('begin');
  await client.query(await readFile(`${FILES}/${file}`, 'utf8'));
  await client.query('commit');
};

/** One text per row. */
const readLines = async (statement: Sql): Promise<string[]> =>
  (await queryClient(client, statement)).map((row) => row['line'] ?? '');

beforeAll(async () => {
  outer = await createTestDatabase();
  admin = createDatabase({
    url: outer.ownerUrl,
    applicationName: 'test',
    max: 1,
    statementTimeoutMs: 10_000,
    log: createLog({ component: 'migrate', level: 'silent' }),
  });
  await admin.query(sql`create database ${ident(name)} template template0`);
  const url = new URL(outer.ownerUrl);
  url.pathname = `/${name}`;
  client = await connectClient({ url: url.href, applicationName: 'test' });
  await client.query('create schema clarin');
  await client.query('create table clarin.schema_migrations (name text primary key)');
  const files = (await readdir(FILES)).filter((file) => file.endsWith('.sql')).toSorted();
  for (const file of files.filter((one) => one < OURS)) await apply(file);
});

afterAll(async () => {
  await client.end();
  await admin.query(sql`drop database ${ident(name)} with (force)`);
  await admin.close();
  await outer.drop();
});

/** What an installation holds that ran before: an account, its people, and what was written down of them. */
async function live(): Promise<void> {
  await client.query(`
    insert into accounts (name, slug) values ('Old', 'old');
    select clarin.seed_account_defaults(1);
    insert into users (username, display_name, password_hash, email, is_super_admin)
    values ('stays', 'S', '-', 'whisper@example.com', false), ('left', 'L', '-', null, false), ('root', 'R', '-', null, true);
    insert into memberships (account_id, user_id, role_id) select 1, id, 1 from users where username <> 'root';
    insert into sessions (account_id, user_id, expires_at) select 1, id, now() + interval '1 day' from users;
    update users set email = 'whisper again' where username = 'stays';
    update users set password_hash = 'another' where username = 'root';
    delete from memberships where user_id = 2;
    insert into sessions (account_id, user_id, expires_at) values (1, 3, now() + interval '1 day');
    insert into devices (account_id, name) values (1, 'First');
    insert into contacts (account_id, name, notes, do_not_contact_reason)
    values (1, 'a whisper', 'of a whisper', 'whispered');
    insert into chats (account_id, device_id, contact_id, jid) values (1, 1, 1, 'whisper@lid');
    insert into messages (account_id, chat_id, body, from_jid) values (1, 1, 'whispering', 'whisper@lid');
    update contacts set do_not_contact = true, name = 'another whisper';
    delete from chats;
    delete from contacts;
    update roles set permissions = '{leads}' where name = 'Agent';
    delete from roles where name = 'Agent';`);
}

const whispers = sql`select entity as line from audit_log where concat(before, after) ~ 'whisper'`;

describe('what an installation has from before', () => {
  beforeAll(async () => {
    await live();
    expect(await readLines(whispers)).not.toEqual([]);
    await apply(OURS);
  });

  it('loses the texts of people and keeps who did what to which row', async () => {
    expect(await readLines(whispers)).toEqual([]);
    const kept = await readLines(sql`
      select concat_ws(' ', entity, action, before, '->', after - 'do_not_contact_at') as line from audit_log
      where entity in ('users', 'contacts', 'chats', 'roles') and action <> 'insert'
      order by id`);
    expect(kept).toEqual([
      'users update {"email": "(hidden)"} -> {"email": "(hidden)"}',
      'contacts update {"name": "(hidden)", "display_name": "(hidden)", "do_not_contact": false} -> ' +
        '{"name": "(hidden)", "display_name": "(hidden)", "do_not_contact": true}',
      'chats delete {"id": 1, "device_id": 1, "contact_id": 1, "last_message_id": 1} ->',
      'contacts delete {"id": 1} ->',
      'roles update {"permissions": ["chats", "contacts", "leads", "tags"]} -> {"permissions": ["leads"]}',
      'roles delete {"id": 3, "name": "Agent"} ->',
    ]);
  });

  it('has a log that is only added to, as before', async () => {
    await expect(client.query('update audit_log set actor_id = 1')).rejects.toThrow(
      'only added to',
    );
    await client.query(`set session_replication_role = 'replica'`);
    await expect(client.query('delete from audit_log')).rejects.toThrow('only added to');
    await client.query('reset session_replication_role');
  });

  it('ends the sessions of those who had left, and of nobody else', async () => {
    const open = await readLines(sql`
      select username as line from sessions join users on users.id = user_id where revoked_at is null order by username`);
    expect(open).toEqual(['root', 'stays']);
  });
});
