import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { FeedChange } from '../../domain/feed-protocol.ts';
import { sql } from '../../platform/sql.ts';
import type { AccountFixture } from '../support/account-fixture.ts';
import { eventually } from '../support/eventually.ts';
import { openLiveWorld, type LiveWorld } from './live-world.ts';
import type { FeedClient } from './support.ts';

const TABLES = ['chats', 'messages', 'media', 'devices', 'message_reactions', 'tags'].map(
  (table) => ({ table }),
);
const PERMISSIONS = ['chats', 'devices', 'tags'];
let world: LiveWorld;
let fixture: AccountFixture;
/** Ours is the device the restricted role has; each chat is of one of them. */
let ours: { device: number; chat: number };
let theirs: { device: number; chat: number };
let marks = 0;

beforeAll(async () => {
  world = await openLiveWorld();
  fixture = await world.account('restricted');
  const [first, second] = fixture.deviceIds;
  ours = { device: first ?? 0, chat: fixture.chatIds[1] ?? 0 };
  theirs = { device: second ?? 0, chat: fixture.chatIds[0] ?? 0 };
});
afterAll(() => world.close());

const member = (deviceIds: readonly number[] | null) =>
  world.member(fixture.accountId, PERMISSIONS, deviceIds);
const changesOf = (client: FeedClient): FeedChange[] =>
  client.all('commit').flatMap(({ changes }) => changes);
/** `chats 5 update`, of what was seen; a tag marks how far. */
const seenBy = (client: FeedClient): string[] =>
  changesOf(client)
    .filter(({ table }) => table !== 'tags')
    .map(({ table, key, op }) => `${table} ${String(key['id'])} ${op}`);

/** Everything committed so far has reached them. */
async function untilAllHeard(...clients: readonly FeedClient[]): Promise<void> {
  const name = `mark ${++marks}`;
  await world.run(
    sql`insert into public.tags (account_id, name) values (${fixture.accountId}, ${name})`,
  );
  for (const client of clients) {
    await eventually(
      () => changesOf(client).some((change) => 'row' in change && change.row['name'] === name),
      { says: `${name} is heard` },
    );
  }
}

const write = (chat: number, text: string) => sql`
  insert into public.messages (account_id, chat_id, message_id, message_type, body, is_from_me, from_jid, sent_at)
  values (${fixture.accountId}, ${chat}, ${`W${++marks}`}, 'text', ${text}, false, 'someone', now())`;

/** Something happens in a chat and to its device: a message, a reaction, a file, a state, and a message goes again. */
async function live(place: { device: number; chat: number }, text: string): Promise<void> {
  const { accountId } = fixture;
  await world.run(write(place.chat, text), write(place.chat, `${text} and gone`));
  await world.run(
    sql`
      insert into public.message_reactions (account_id, target_id, chat_id, sender_jid, emoji, reacted_at)
      select account_id, id, chat_id, 'me', '👍', now() from public.messages
      where account_id = ${accountId} and body = ${text}`,
    sql`
      insert into public.media (account_id, device_id, object_key, mimetype)
      values (${accountId}, ${place.device}, ${text}, 'image/png')`,
    sql`update public.devices set status_reason = ${text} where id = ${place.device}`,
    sql`delete from public.messages where account_id = ${accountId} and body = ${`${text} and gone`}`,
  );
}

describe('a role with devices', () => {
  it('[F30] sees the rows of those only, and hears of no others, deletes included', async () => {
    const all = await world.client(await world.token(await member(null)));
    const some = await world.client(await world.token(await member([ours.device])));
    const none = await world.client(await world.token(await member([])));
    for (const client of [all, some, none]) await client.subscribe('x', TABLES);
    await live(theirs, 'foreign');
    await live(ours, 'own');
    await untilAllHeard(all, some, none);
    expect(seenBy(all).length).toBeGreaterThan(seenBy(some).length);
    expect(seenBy(none)).toEqual([]);
    const text = some.texts.join('\n');
    expect(text).toContain('"own"');
    expect(text).not.toContain('foreign');
    const ofAll = seenBy(all);
    const ofSome = seenBy(some);
    const kinds = ['chats', 'messages', 'message_reactions', 'media', 'devices'];
    for (const table of kinds) {
      const count = (seen: readonly string[]) => seen.filter((one) => one.startsWith(`${table} `));
      expect(count(ofSome).length, table).toBeGreaterThan(0);
      expect(count(ofAll).length, table).toBe(2 * count(ofSome).length);
    }
    expect(ofSome.filter((one) => one.endsWith('delete'))).toHaveLength(1);
  });

  it('[F30] sees rows of no device where the entity says so: an upload, and not a chat whose device is gone', async () => {
    const some = await world.client(await world.token(await member([ours.device])));
    await some.subscribe('x', TABLES);
    const { accountId, contactIds } = fixture;
    await world.run(
      sql`insert into public.media (account_id, object_key, mimetype) values (${accountId}, 'upload', 'image/png')`,
      sql`insert into public.chats (account_id, contact_id, jid) values (${accountId}, ${contactIds[0]}, 'orphan')`,
    );
    await untilAllHeard(some);
    expect(seenBy(some)).toEqual([expect.stringMatching(/^media \d+ insert$/)]);
  });

  it('[F30] resumes to what it would have seen live, byte for byte', async () => {
    const who = await member([ours.device]);
    const first = await world.client(await world.token(who));
    const { cursor } = await first.subscribe('x', TABLES);
    await live(theirs, 'unseen');
    await live(ours, 'seen');
    await untilAllHeard(first);
    const second = await world.client(await world.token(who));
    await second.subscribe('x', TABLES, cursor);
    const frames = (client: FeedClient) =>
      client.texts.filter((frame) => frame.startsWith('{"type":"commit"'));
    expect(frames(second)).toEqual(frames(first));
    expect(second.texts.join('\n')).not.toContain('unseen');
  });

  it('[F30] hears who is typing in chats of those only, and types in no others', async () => {
    const all = await world.client(await world.token(await member(null)));
    const some = await world.client(await world.token(await member([ours.device])));
    const typing = (chat_id: number) => ({ type: 'signal', kind: 'typing', chat_id }) as const;
    all.send(typing(theirs.chat));
    all.send(typing(ours.chat));
    expect(await some.next('signal')).toMatchObject({ chat_id: ours.chat });
    expect(some.all('signal')).toHaveLength(1);
    some.send(typing(theirs.chat));
    expect(await some.next('error')).toMatchObject({ code: 'not_found' });
  });
});

describe('a change of the devices of a role', () => {
  it('[F30] reaches open sockets at once: what they hold is dropped, and they begin anew with what is theirs now', async () => {
    const who = await member([ours.device]);
    const client = await world.client(await world.token(who));
    await client.subscribe('x', TABLES);
    await client.subscribe('tags', [{ table: 'tags' }]);
    await live(ours, 'before the move');
    await world.run(
      sql`update public.roles set device_ids = ${[theirs.device]}::bigint[] where id = ${who.roleId}`,
      write(ours.chat, 'no longer theirs'),
    );
    const resync = await client.next('resync');
    expect(resync).toMatchObject({ id: 'x', reason: 'access' });
    await client.subscribe('x', TABLES, resync.cursor);
    await live(ours, 'lost to it');
    await live(theirs, 'gained by it');
    await untilAllHeard(client);
    const text = client.texts.join('\n');
    expect(text).toContain('before the move');
    expect(text).toContain('gained by it');
    expect(text).not.toContain('no longer theirs');
    expect(text).not.toContain('lost to it');
    expect(client.all('resync')).toHaveLength(1);
    expect(client.closed).toBeUndefined();
  });

  it('[F30] is felt when a restriction comes and when it goes, and by nobody else', async () => {
    const [who, other] = [await member(null), await member([ours.device])];
    const client = await world.client(await world.token(who));
    const bystander = await world.client(await world.token(other));
    for (const one of [client, bystander]) await one.subscribe('x', TABLES);
    for (const [name, deviceIds] of [
      ['restricted', [ours.device]],
      ['free', null],
    ] as const) {
      await world.run(
        sql`update public.roles set device_ids = ${deviceIds && [...deviceIds]}::bigint[] where id = ${who.roleId}`,
      );
      const { cursor } = await client.next('resync');
      await client.subscribe('x', TABLES, cursor);
      await live(theirs, `while ${name}`);
      await untilAllHeard(client, bystander);
    }
    const text = client.texts.join('\n');
    expect(text).not.toContain('while restricted');
    expect(text).toContain('while free');
    expect(bystander.all('resync')).toEqual([]);
    expect(bystander.texts.join('\n')).not.toContain('while');
  });
});
