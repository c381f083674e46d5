import { accountKeys, type Keyspace } from '../../domain/cache-key.ts';
import type { AccountCommit } from '../../domain/change.ts';
import { LSN_ZERO, lsnFromHex, toLsn, type Lsn } from '../../domain/lsn.ts';
import { reachable } from './control.ts';
import { decodeCommit } from './log-entry.ts';
import { READ_LOG, runScript } from './scripts.ts';
import type { RedisClient } from '../redis.ts';

/**
 * Parts fetched at a time: at most this many times PART_BYTES_MAX in memory. The first page is small: whoever reads for a
 * slow socket sends one commit and comes again later, and reads the rest for nothing.
 */
const PARTS_PER_PAGE = 16;
const PARTS_OF_FIRST_PAGE = 2;
/** Largest sequence number of a stream entry id. */
const LAST_PART = '18446744073709551615';

/** The commits asked for have been cut from the log: whoever resumes from there must read again. */
export class HistoryTrimmedError extends Error {
  readonly trimmed: Lsn;

  constructor(trimmed: Lsn) {
    super('the history asked for is no longer held');
    this.name = 'HistoryTrimmedError';
    this.trimmed = trimmed;
  }
}

type Entry = [id: string, fields: string[]];

/** The accounts' logs in Redis: what resumes and gateways read. */
export class AccountLog {
  readonly #redis: RedisClient;
  readonly #space: Keyspace;

  constructor(options: { redis: RedisClient; space: Keyspace }) {
    this.#redis = options.redis;
    this.#space = options.space;
  }

  /** Newest commit applied for the account in this epoch; undefined when there was none. */
  async readWatermark(accountId: number, epoch: string): Promise<Lsn | undefined> {
    const { head } = accountKeys(this.#space, accountId, epoch);
    const w = await reachable(this.#redis.hget(head, 'w'));
    return w === null ? undefined : lsnFromHex(w);
  }

  /**
   * Commits with `after` < lsn <= `upTo`, in commit order, a page in memory at a time.
   * @throws HistoryTrimmedError when `after` is older than what the log holds, also when that happens on the way;
   * ClarinError unavailable when Redis does not answer.
   */
  async *read(options: {
    accountId: number;
    epoch: string;
    after: Lsn;
    upTo?: Lsn;
  }): AsyncGenerator<AccountCommit> {
    const { accountId, epoch, after, upTo } = options;
    const keys = accountKeys(this.#space, accountId, epoch);
    const last = upTo === undefined ? '+' : `${upTo}-${LAST_PART}`;
    let first = `${after + 1n}-0`;
    /** Newest commit handed out: trimming up to it is no loss. */
    let delivered = after;
    let open: { lsn: Lsn; parts: string[] } | undefined;
    for (let page = PARTS_OF_FIRST_PAGE; ; page = Math.min(page * 2, PARTS_PER_PAGE)) {
      const answer = await reachable(
        runScript(this.#redis, READ_LOG, [keys.head, keys.log], [first, last, page]),
      );
      const [trimmedHex, entries] = answer as [string, Entry[]];
      const trimmed = trimmedHex === '' ? LSN_ZERO : lsnFromHex(trimmedHex);
      if (trimmed > delivered) throw new HistoryTrimmedError(trimmed);
      for (const [id, fields] of entries) {
        const lsn = toLsn(BigInt(id.slice(0, id.indexOf('-'))));
        if (open && open.lsn !== lsn) {
          yield decodeCommit(accountId, open.lsn, open.parts);
          delivered = open.lsn;
          open = undefined;
        }
        open ??= { lsn, parts: [] };
        open.parts.push(fields[1] ?? '');
      }
      const lastEntry = entries[entries.length - 1];
      if (entries.length < page || !lastEntry) break;
      first = `(${lastEntry[0]}`;
    }
    if (open) yield decodeCommit(accountId, open.lsn, open.parts);
  }
}

/** What arrives on an account's channel: a new watermark, or a signal's JSON text. */
export type LogMessage =
  | { readonly kind: 'watermark'; readonly lsn: Lsn }
  | { readonly kind: 'signal'; readonly json: string };

/**
 * Listens on the channels of accounts, on a connection of its own. Messages may be lost (a reconnect): they only say
 * that there is something to read; what has been missed is found by reading the log from the last known commit.
 */
export class LogWatcher {
  readonly #redis: RedisClient;
  readonly #space: Keyspace;
  readonly #listeners = new Map<string, (message: LogMessage) => void>();

  /** `redis` must not be used for anything else: it enters subscriber mode. */
  constructor(options: { redis: RedisClient; space: Keyspace }) {
    this.#redis = options.redis;
    this.#space = options.space;
    this.#redis.on('smessage', (channel: string, payload: string) => {
      this.#listeners.get(channel)?.(parseMessage(payload));
    });
  }

  /** Resolves when the channel is live: read the log after that. Replaces an earlier listener. */
  async watch(
    accountId: number,
    epoch: string,
    onMessage: (message: LogMessage) => void,
  ): Promise<void> {
    const { channel } = accountKeys(this.#space, accountId, epoch);
    this.#listeners.set(channel, onMessage);
    await reachable(this.#redis.ssubscribe(channel));
  }

  async unwatch(accountId: number, epoch: string): Promise<void> {
    const { channel } = accountKeys(this.#space, accountId, epoch);
    this.#listeners.delete(channel);
    await reachable(this.#redis.sunsubscribe(channel));
  }
}

function parseMessage(payload: string): LogMessage {
  const rest = payload.slice(1);
  return payload.startsWith('w')
    ? { kind: 'watermark', lsn: lsnFromHex(rest) }
    : { kind: 'signal', json: rest };
}
