import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { sql, type Sql } from '../../platform/sql.ts';
import { eventually } from '../support/eventually.ts';
import { openLiveWorld, type FeedServerName, type LiveWorld } from './live-world.ts';
import type { FeedClient } from './support.ts';

const TAGS = [{ table: 'tags' }];
let world: LiveWorld;
let accountId: number;

beforeAll(async () => {
  world = await openLiveWorld({ hasGateway: true });
  ({ accountId } = await world.account('revocation'));
});
afterAll(() => world.close());

type Who = { userId: number; roleId: number; keyId: number; token: string };

async function login(how: 'session' | 'key'): Promise<Who> {
  const member = await world.member(accountId, ['tags', 'leads']);
  const { id: keyId, key } = await world.key(member, ['tags', 'leads']);
  const token = how === 'key' ? key : await world.token(member);
  return { userId: member.userId, roleId: member.roleId, keyId, token };
}

/** How somebody ceases to be allowed to see tags, and the code with which that closes his socket. */
const WAYS: [name: string, as: 'session' | 'key', code: number, statement: (who: Who) => Sql][] = [
  [
    'his user is disabled',
    'session',
    4401,
    ({ userId }) => sql`update public.users set is_active = false where id = ${userId}`,
  ],
  [
    'his membership is removed',
    'session',
    4401,
    ({ userId }) =>
      sql`delete from public.memberships where account_id = ${accountId} and user_id = ${userId}`,
  ],
  [
    'his role loses the table',
    'session',
    4403,
    ({ roleId }) =>
      sql`update public.roles set permissions = '{leads}' where account_id = ${accountId} and id = ${roleId}`,
  ],
  [
    'his key is revoked',
    'key',
    4401,
    ({ keyId }) => sql`update public.api_keys set revoked_at = now() where id = ${keyId}`,
  ],
  [
    'his session is ended',
    'session',
    4401,
    ({ userId }) =>
      sql`update public.sessions set revoked_at = now() where user_id = ${userId} and api_key_id is null`,
  ],
];
const SERVERS: FeedServerName[] = ['replicator', 'gateway'];
const CASES = WAYS.flatMap((way) => SERVERS.map((server) => [way[0], server, way] as const));

type Writer = { stop(): Promise<void> };

/** Somebody who writes a tag every few milliseconds. */
function startWriter(): Writer {
  let isOver = false;
  const running = (async () => {
    for (let n = 1; !isOver; n++) {
      await world.run(
        sql`insert into public.tags (account_id, name) values (${accountId}, ${`w ${performance.now()} ${n}`})`,
      );
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  })();
  return {
    stop: async () => {
      isOver = true;
      await running;
    },
  };
}

/** Milliseconds since 1970 at which Postgres committed what the client was given last. */
const lastGiven = (client: FeedClient): number =>
  Math.max(0, ...client.all('commit').map(({ at }) => Date.parse(at)));

describe('who may no longer see something', () => {
  it.each(CASES)(
    '[F21] because %s is given nothing of that commit or behind it by the %s, nor by a resume',
    async (_name, server, [, as, code, statement]) => {
      const who = await login(as);
      const client = await world.client(who.token, server);
      const { cursor } = await client.subscribe('tags', TAGS);
      const writer = startWriter();
      await eventually(() => client.all('commit').length > 10);
      // The commit itself has a row that he would be shown: it is the first that he is not.
      const mark = sql`insert into public.tags (account_id, name) values (${accountId}, ${`last ${who.userId} ${server}`})`;
      await world.run(statement(who), mark);
      const committedAt = Date.now();
      expect(await client.closeCode()).toBe(code);
      await writer.stop();
      expect(lastGiven(client)).toBeLessThanOrEqual(committedAt);
      const names = client
        .all('commit')
        .flatMap(({ changes }) => changes)
        .map((change) => ('row' in change ? change.row['name'] : ''));
      expect(names).not.toContain(`last ${who.userId} ${server}`);

      if (code === 4401) return expect(await world.refusalOf(who.token, server)).toBe(4401);
      // From before it: also what he once was given, he is not given again.
      const again = await world.client(who.token, server);
      again.send({ type: 'subscribe', id: 'tags', tables: TAGS, since: cursor });
      expect(await again.next('error')).toMatchObject({ code: 'forbidden', id: 'tags' });
      expect(again.all('commit')).toEqual([]);
      return undefined;
    },
  );
});
