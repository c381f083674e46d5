import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { createDatabase, type Database } from '../../platform/postgres.ts';
import { createLog } from '../../platform/log.ts';
import { createAccount, type AccountFixture } from '../support/account-fixture.ts';
import { eventually } from '../support/services.ts';
import { openTruth, startModel, untilEqual } from './support/compare.ts';
import type { ModelClient } from './support/model-client.ts';
import { startStack, type Stack, type TestAccount } from './support/stack.ts';

/**
 * Everything a list shows of other tables: the list is in the cache, then somebody writes to that other table by SQL;
 * the next read is right and every open page has heard of it.
 */
type Join = {
  /** What a person would say. */
  readonly says: string;
  /** The list in the cache. */
  readonly path: string;
  /** The write, by hand in psql. */
  readonly write: (fixture: AccountFixture) => string;
  /** The table whose change the feed brings. */
  readonly table: string;
  /** What the list shows afterwards and did not before. */
  readonly shows: string;
};

const JOINS: readonly Join[] = [
  {
    says: 'a tag is renamed, seen in leads',
    path: '/api/leads?limit=200',
    write: ({ tagIds }) => `update tags set name = 'Renamed for leads' where id = ${tagIds[0]}`,
    table: 'tags',
    shows: 'Renamed for leads',
  },
  {
    says: 'a tag is recoloured, seen in contacts',
    path: '/api/contacts?limit=200',
    write: ({ tagIds }) => `update tags set color = '#0a0b0c' where id = ${tagIds[1]}`,
    table: 'tags',
    shows: '#0a0b0c',
  },
  {
    says: 'a tag is renamed, seen in chats',
    path: '/api/chats',
    write: ({ tagIds }) => `update tags set name = 'Renamed for chats' where id = ${tagIds[0]}`,
    table: 'tags',
    shows: 'Renamed for chats',
  },
  {
    says: 'a tag is put on a lead',
    path: '/api/leads?limit=200',
    write: ({ accountId, leadIds, tagIds }) => `
      with tag as (insert into tags (account_id, name) values (${accountId}, 'Put on a lead') returning id)
      insert into lead_tags (account_id, lead_id, tag_id) select ${accountId}, ${leadIds[9]}, id from tag
      where ${tagIds.length} > 0`,
    table: 'lead_tags',
    shows: 'Put on a lead',
  },
  {
    says: 'a tag is put on a contact',
    path: '/api/contacts?limit=200',
    write: ({ accountId, contactIds }) => `
      with tag as (insert into tags (account_id, name) values (${accountId}, 'Put on a contact') returning id)
      insert into contact_tags (account_id, contact_id, tag_id) select ${accountId}, ${contactIds[5]}, id from tag`,
    table: 'contact_tags',
    shows: 'Put on a contact',
  },
  {
    says: 'a tag is put on a chat',
    path: '/api/chats',
    write: ({ accountId, chatIds }) => `
      with tag as (insert into tags (account_id, name) values (${accountId}, 'Put on a chat') returning id)
      insert into chat_tags (account_id, chat_id, tag_id) select ${accountId}, ${chatIds[3]}, id from tag`,
    table: 'chat_tags',
    shows: 'Put on a chat',
  },
  {
    says: 'a stage is recoloured, seen in leads',
    path: '/api/leads?limit=200',
    write: ({ stages }) =>
      `update pipeline_stages set color = '#010203' where id = ${stages.active[0]}`,
    table: 'pipeline_stages',
    shows: '#010203',
  },
  {
    says: 'a stage is renamed, seen on the board',
    path: '/api/leads/board?pipeline_id={pipeline}',
    write: ({ stages }) =>
      `update pipeline_stages set name = 'Renamed stage' where id = ${stages.active[1]}`,
    table: 'pipeline_stages',
    shows: 'Renamed stage',
  },
  {
    says: 'a stage is renamed, seen in pipelines',
    path: '/api/pipelines',
    write: ({ stages }) =>
      `update pipeline_stages set name = 'Renamed in pipelines' where id = ${stages.active[2]}`,
    table: 'pipeline_stages',
    shows: 'Renamed in pipelines',
  },
  {
    says: "a contact's name is changed, seen in leads",
    path: '/api/leads?limit=200',
    write: ({ contactIds }) =>
      `update contacts set custom_name = 'Known to leads' where id = ${contactIds[1]}`,
    table: 'contacts',
    shows: 'Known to leads',
  },
  {
    says: "a contact's name is changed, seen in chats",
    path: '/api/chats',
    write: ({ contactIds }) =>
      `update contacts set custom_name = 'Known to chats' where id = ${contactIds[0]}`,
    table: 'contacts',
    shows: 'Known to chats',
  },
  {
    says: 'a contact is not to be contacted any more, seen in chats',
    path: '/api/chats',
    write: ({ contactIds }) =>
      `update contacts set do_not_contact = true where id = ${contactIds[2]}`,
    table: 'contacts',
    shows: '"do_not_contact":true',
  },
  {
    says: 'a device is renamed, seen in chats',
    path: '/api/chats',
    write: ({ deviceIds }) =>
      `update devices set name = 'Renamed device' where id = ${deviceIds[0]}`,
    table: 'devices',
    shows: 'Renamed device',
  },
  {
    says: 'a device goes offline, seen in campaigns',
    path: '/api/campaigns',
    write: ({ deviceIds }) => `update devices set status = 'logged_out' where id = ${deviceIds[0]}`,
    table: 'devices',
    shows: '"status":"logged_out"',
  },
  {
    says: 'a message comes, seen in the inbox',
    path: '/api/chats',
    write: ({ accountId, chatIds }) => `
      insert into messages (account_id, chat_id, body) values (${accountId}, ${chatIds[2]}, 'Are you there?')`,
    table: 'messages',
    shows: '"last_message":"Are you there?"',
  },
  {
    says: 'a message comes, seen in its chat',
    path: '/api/chats/{chat}/messages',
    write: ({ accountId, chatIds }) => `
      insert into messages (account_id, chat_id, body) values (${accountId}, ${chatIds[0]}, 'Seen in its chat')`,
    table: 'messages',
    shows: 'Seen in its chat',
  },
  {
    says: 'a message is edited, seen in its chat',
    path: '/api/chats/{chat}/messages',
    write: ({ accountId, chatIds }) => `
      insert into messages (account_id, chat_id, message_type, target_message_id, body)
      values (${accountId}, ${chatIds[0]}, 'edit', 'IN1', 'Good evening')`,
    table: 'messages',
    shows: '"body":"Good evening"',
  },
  {
    says: 'somebody reacts, seen in its chat',
    path: '/api/chats/{chat}/messages',
    write: ({ accountId, chatIds }) => `
      insert into messages (account_id, chat_id, message_type, target_message_id, from_jid, body)
      values (${accountId}, ${chatIds[0]}, 'reaction', 'OUT1', '51999000001@s.whatsapp.net', '🎉')`,
    table: 'message_reactions',
    shows: '"emoji":"🎉"',
  },
  {
    says: 'somebody votes, seen in its chat',
    path: '/api/chats/{chat}/messages',
    write: ({ accountId, chatIds, messageIds }) => `
      insert into poll_votes (account_id, target_id, chat_id, voter_jid, options, voted_at)
      values (${accountId}, ${messageIds[2]}, ${chatIds[0]}, '51999000001@s.whatsapp.net', '{Tomorrow}', now())`,
    table: 'poll_votes',
    shows: '"options":["Tomorrow"]',
  },
  {
    says: 'a recipient is reached, seen in campaigns',
    path: '/api/campaigns',
    write: ({ accountId }) => `
      update campaign_recipients set status = 'skipped' where id = (
        select min(id) from campaign_recipients where account_id = ${accountId}
      )`,
    table: 'campaign_recipients',
    shows: '"skipped_count":1',
  },
];

describe('what a list shows of other tables', () => {
  let stack: Stack;
  let truth: Database;
  let account: TestAccount;
  let fixture: AccountFixture;
  let model: ModelClient;

  beforeAll(async () => {
    stack = await startStack();
    truth = openTruth(stack);
    const owner = createDatabase({
      url: stack.database.ownerUrl,
      applicationName: 'test',
      max: 1,
      statementTimeoutMs: 10_000,
      log: createLog({ component: 'api', level: 'silent' }),
    });
    fixture = await createAccount(owner, 'joins');
    await owner.close();
    // The first account's administrator works in this one.
    await stack.sql(
      `insert into memberships (account_id, user_id, role_id)
       select $1, $2, id from roles where account_id = $1 and name = 'Administrator'`,
      [fixture.accountId, stack.accounts[0].userId],
    );
    const { json } = await stack.request(stack.accounts[0], 'POST /api/auth/switch-account', {
      account_id: fixture.accountId,
    });
    account = { ...stack.accounts[0], id: fixture.accountId, token: String(json['token']) };
  });
  afterAll(async () => {
    await truth.close();
    await stack.close();
  });
  beforeEach(async () => {
    const tables = [...new Set(JOINS.map(({ table }) => table))];
    model = await startModel(
      stack,
      truth,
      account,
      tables.map((table) => ({ table })),
    );
  });
  afterEach(() => {
    model.close();
    expect(model.faults).toEqual([]);
  });

  it.each(JOINS)('[C11] $says', async ({ path, write, table, shows }) => {
    const place = path
      .replace('{pipeline}', String(fixture.pipelineId))
      .replace('{chat}', String(fixture.chatIds[0]));
    const route = `GET ${place}`;
    const status = async (): Promise<string> =>
      (await stack.request(account, route)).headers.get('clarin-cache') ?? '';
    // In the cache for certain, and without what is going to be written.
    await eventually(async () => (await status()) === 'hit', { says: 'the list is in the cache' });
    expect((await stack.request(account, route)).text).not.toContain(shows);
    const before = model.commits.length;
    await stack.sql(write(fixture));
    await eventually(
      () =>
        model.commits
          .slice(before)
          .some(({ changes }) => changes.some((one) => one.table === table)),
      { says: `the feed brings a change of ${table}` },
    );
    // Because of the event, so nothing older.
    const read = await stack.request(account, route);
    expect(read.text).toContain(shows);
    const fresh = await stack.request(account, route, undefined, {
      'clarin-min-commit': 'FFFFFFFF/FFFFFFFF',
    });
    expect(read.text).toBe(fresh.text);
    await untilEqual(model, truth, account.id);
  });
});
