import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { makeApiKey } from '../../platform/api-key.ts';
import { sql, type Sql } from '../../platform/sql.ts';
import { eventually } from '../support/eventually.ts';
import { openLiveWorld, type LiveWorld } from './live-world.ts';
import type { FeedClient } from './support.ts';

const TAGS = [{ table: 'tags' }];
let world: LiveWorld;
let accountId: number;
let names = 0;

beforeAll(async () => {
  world = await openLiveWorld();
  ({ accountId } = await world.account('keys'));
});
afterAll(() => world.close());

const newTag = (name = `new ${++names}`) =>
  sql`insert into public.tags (account_id, name) values (${accountId}, ${name})`;
const namesSeen = (client: FeedClient) =>
  client
    .all('commit')
    .flatMap(({ changes }) => changes)
    .map((change) => ('row' in change ? change.row['name'] : change.op));

type Robot = { id: number; key: string; userId: number; client: FeedClient };

/** A program that listens to tags. */
async function listen(permissions = ['tags']): Promise<Robot> {
  const member = await world.member(accountId, ['settings', 'tags', 'leads']);
  const { id, key } = await world.key(member, permissions);
  const client = await world.client(key);
  await client.subscribe('tags', TAGS);
  return { id, key, userId: member.userId, client };
}

describe('a program', () => {
  it('[F29] says hello with its key, sees what the key and its member may see, and its use is noted', async () => {
    const { id, client } = await listen();
    await world.run(newTag('heard'));
    expect((await client.next('commit')).changes[0]).toMatchObject({ row: { name: 'heard' } });
    client.send({ type: 'subscribe', id: 'leads', tables: [{ table: 'leads' }] });
    expect(await client.next('error')).toMatchObject({ code: 'forbidden', id: 'leads' });
    const [row] = await world.db.query(
      sql`select last_used_at is not null as is_used from public.api_keys where id = ${id}`,
    );
    expect(row?.['is_used']).toBe('t');
  });

  it('[F29] with a key that nobody has is closed with 4401', async () => {
    expect(await world.refusalOf(makeApiKey().key)).toBe(4401);
  });

  it('[F29] whose key is narrowed loses the tables it may no longer see', async () => {
    const { id, client } = await listen(['tags', 'leads']);
    await client.subscribe('leads', [{ table: 'leads' }]);
    await world.run(sql`update public.api_keys set permissions = '{tags}' where id = ${id}`);
    expect(await client.next('error')).toMatchObject({ code: 'forbidden', id: 'leads' });
    await world.run(newTag('still heard'));
    await eventually(() => namesSeen(client).includes('still heard'));
  });

  it('[F29] goes on with "auth" and another key of the same member, beyond the end of the first', async () => {
    const member = await world.member(accountId, ['tags']);
    const [first, second] = [await world.key(member, ['tags']), await world.key(member, ['tags'])];
    const client = await world.client(first.key);
    await client.subscribe('tags', TAGS);
    client.send({ type: 'auth', token: second.key });
    await client.next('authenticated');
    await world.run(
      sql`update public.api_keys set revoked_at = now() where id = ${first.id}`,
      newTag('after'),
    );
    await eventually(() => namesSeen(client).includes('after'));
    expect(client.closed).toBeUndefined();
  });
});

describe('the end of a key', () => {
  const ends: [string, (robot: Robot) => Sql][] = [
    ['revoked', ({ id }) => sql`update public.api_keys set revoked_at = now() where id = ${id}`],
    ['deleted', ({ id }) => sql`delete from public.api_keys where id = ${id}`],
    [
      'moved to the past',
      ({ id }) =>
        sql`update public.api_keys set expires_at = now() - interval '1 second' where id = ${id}`,
    ],
    ["its user's deletion", ({ userId }) => sql`delete from public.users where id = ${userId}`],
    [
      'its user being shut out',
      ({ userId }) => sql`update public.users set is_active = false where id = ${userId}`,
    ],
  ];

  it.each(ends)(
    '[F29] (%s) closes its sockets with 4401, and nothing of that commit or behind it reaches them',
    async (_how, end) => {
      const robot = await listen();
      await world.run(newTag(`before ${robot.id}`));
      await robot.client.next('commit');
      await world.run(end(robot), newTag());
      await world.run(newTag());
      expect(await robot.client.closeCode()).toBe(4401);
      expect(namesSeen(robot.client)).toEqual([`before ${robot.id}`]);
      expect(await world.refusalOf(robot.key)).toBe(4401);
    },
  );

  it('[F29] by time alone closes an open socket, unless it was moved meanwhile', async () => {
    const [over, moved] = [await listen(), await listen()];
    await world.run(sql`
      update public.api_keys set expires_at = now() + interval '2 seconds'
      where id in (${over.id}, ${moved.id})`);
    await world.run(sql`
      update public.api_keys set expires_at = now() + interval '1 hour' where id = ${moved.id}`);
    // Both were looked at again: what follows is time alone.
    await world.run(newTag('both hear'));
    for (const { client } of [over, moved])
      await eventually(() => namesSeen(client).includes('both hear'));
    expect(await over.client.closeCode()).toBe(4401);
    expect(over.client.all('error')[0]).toMatchObject({ code: 'unauthenticated' });
    await world.run(newTag('one hears'));
    await eventually(() => namesSeen(moved.client).includes('one hears'));
  });
});
