import { afterAll, afterEach, beforeAll, beforeEach } from 'vitest';
import type { Mandate } from '../../../platform/cache/control.ts';
import type { CacheReader } from '../../../platform/cache/reader.ts';
import type { AccountShare } from '../../../platform/cache/types.ts';
import type { CacheWriter } from '../../../platform/cache/writer.ts';
import { startRedis, type TestRedis } from '../../support/services.ts';
import { commitOf, lsn, openCacheWorld, type CacheWorld } from './world.ts';

export const PLACE = { accountId: 1, family: 'leads.row', field: '5' };
export const answer = (body: string) => async (): Promise<string> => body;

/** What each test finds: a world of its own with a leader, a reader and a writer. */
export type CacheFixture = {
  world: CacheWorld;
  mandate: Mandate;
  reader: CacheReader;
  writer: CacheWriter;
  apply(...shares: AccountShare[]): Promise<void>;
};

/** Registers the hooks of a file on a Redis of its own. */
export function cacheFixture(): CacheFixture {
  let server: TestRedis;
  const fixture = {} as CacheFixture;
  beforeAll(async () => {
    server = await startRedis();
  });
  afterAll(() => server.stop());
  beforeEach(async () => {
    const world = await openCacheWorld(server.url);
    const mandate = await world.lead(lsn(100));
    const writer = world.writer();
    const apply = (...shares: AccountShare[]) =>
      fixture.writer.apply({ ...fixture.mandate, shares });
    Object.assign(fixture, { world, mandate, reader: await world.reader(), writer, apply });
  });
  afterEach(() => fixture.world.close());
  return fixture;
}

/** A share of one commit at `at`, invalidating a family or entries of it. */
export function share(
  at: number,
  options: { accountId?: number; family?: string; ids?: readonly string[] | 'all' } = {},
): AccountShare {
  const { accountId = 1, family = 'leads.row', ids = 'all' } = options;
  return {
    accountId,
    commits: [commitOf(accountId, at)],
    invalidations: [{ family, ids }],
  };
}

/** A read whose load stops in the middle until released. */
export function heldRead(from: CacheReader, body: string) {
  let release = (): void => undefined;
  const held = new Promise<void>((resolve) => (release = resolve));
  let begin = (): void => undefined;
  const began = new Promise<void>((resolve) => (begin = resolve));
  const load = async (): Promise<string> => {
    begin();
    await held;
    return body;
  };
  return { began, release, result: from.readThrough({ ...PLACE, load }) };
}
