import { accountKeys, BYTES_FIELD, controlKeys, type Keyspace } from '../../domain/cache-key.ts';
import { reachable } from './control.ts';
import type { RedisClient } from '../redis.ts';

/** `touched` is another one as soon as an invalidation has reached the entry, also one that it survived. */
export type SeenEntry = { readonly body: string; readonly touched: string };

/** Looks at entries for `clarin verify` and the sampler: by known names, never by scanning the keyspace. */
export class CacheInspector {
  readonly #redis: RedisClient;
  readonly #space: Keyspace;

  constructor(options: { redis: RedisClient; space: Keyspace }) {
    this.#redis = options.redis;
    this.#space = options.space;
  }

  /** Current epoch's id; undefined when there is none. */
  async readEpochId(): Promise<string | undefined> {
    return (
      (await reachable(this.#redis.hget(controlKeys(this.#space).control, 'epoch'))) ?? undefined
    );
  }

  async readAccounts(epoch: string): Promise<number[]> {
    return (await reachable(this.#redis.smembers(controlKeys(this.#space).accounts(epoch)))).map(
      Number,
    );
  }

  /** At most `count` accounts, chosen at random. */
  async sampleAccounts(epoch: string, count: number): Promise<number[]> {
    return (
      await reachable(this.#redis.srandmember(controlKeys(this.#space).accounts(epoch), count))
    ).map(Number);
  }

  /** Fields of a family; bounded by FAMILY_ENTRIES_MAX. */
  async readFields(accountId: number, epoch: string, family: string): Promise<string[]> {
    const key = accountKeys(this.#space, accountId, epoch).family(family);
    return (await reachable(this.#redis.hkeys(key))).filter(isEntry);
  }

  /** At most `count` fields, chosen at random. */
  async sampleFields(
    accountId: number,
    epoch: string,
    family: string,
    count: number,
  ): Promise<string[]> {
    const key = accountKeys(this.#space, accountId, epoch).family(family);
    return ((await reachable(this.#redis.hrandfield(key, count))) as string[]).filter(isEntry);
  }

  /** The entry as it is now, or undefined. One look: nothing comes between its body and its tombstones. */
  async readEntry(
    accountId: number,
    epoch: string,
    family: string,
    field: string,
  ): Promise<SeenEntry | undefined> {
    const keys = accountKeys(this.#space, accountId, epoch);
    const look = this.#redis
      .multi()
      .hget(keys.family(family), field)
      .get(keys.tombstone(family))
      .get(keys.tombstone(`${family}/${field}`));
    const [body, ...tombstones] = ((await reachable(look.exec())) ?? []).map(answerOf);
    return body === undefined ? undefined : { body, touched: tombstones.join(' ') };
  }
}

/** What Redis answered to one read of several. @throws what it answered instead. */
function answerOf([error, answer]: [Error | null, unknown]): string | undefined {
  if (error) throw error;
  return typeof answer === 'string' ? answer : undefined;
}

function isEntry(field: string): boolean {
  return field !== BYTES_FIELD;
}
