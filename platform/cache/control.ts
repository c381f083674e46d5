import { randomBytes } from 'node:crypto';
import { Cluster } from 'ioredis';
import {
  accountKeys,
  allFamilies,
  controlKeys,
  LIVENESS_MS,
  type Keyspace,
} from '../../domain/cache-key.ts';
import { ClarinError } from '../../domain/errors.ts';
import { lsnFromHex, lsnToHex, type Lsn } from '../../domain/lsn.ts';
import type { Log } from '../log.ts';
import { evictedOf, readRunId, redisEvicts, type RedisClient } from '../redis.ts';
import {
  ADVANCE,
  BEAT,
  FENCE,
  OPEN_EPOCH,
  RAISE_TERM,
  READ_CLOCK,
  RENEW,
  runScript,
  type Script,
} from './scripts.ts';
import type { ControlState, Epoch, EpochIdentity } from './types.ts';

/** A standby takes a leader for dead when this has passed without a beat. */
const BEAT_MS = 3_000;
const ACCOUNTS_PER_ROUND = 500;

/** What a leader holds: its term in its epoch. Every global write shows both and is refused when either is over. */
export type Mandate = { readonly term: number; readonly epoch: Epoch };

/**
 * The replicators' shared state in Redis: term, epoch, global position, liveness. Every method throws ClarinError
 * `leadership_lost` when a newer term exists, `epoch_lost` when Redis no longer holds this epoch, `unavailable`
 * when Redis does not answer.
 */
export class ControlStore {
  readonly #redis: RedisClient;
  readonly #space: Keyspace;
  readonly #log: Log;
  readonly #keys: ReturnType<typeof controlKeys>;

  constructor(options: { redis: RedisClient; space: Keyspace; log: Log }) {
    this.#redis = options.redis;
    this.#space = options.space;
    this.#log = options.log;
    this.#keys = controlKeys(options.space);
  }

  /** Undefined: nothing is there, because this is the first start or because Redis lost it. */
  async readControl(): Promise<ControlState | undefined> {
    const [hash, position] = await reachable(
      Promise.all([this.#redis.hgetall(this.#keys.control), this.#redis.get(this.#keys.position)]),
    );
    const epoch = hash['epoch'];
    if (epoch === undefined || position === null || !position.startsWith(`${epoch} `))
      return undefined;
    return {
      epoch: { id: epoch, base: lsnFromHex(hash['base'] ?? '0') },
      term: Number(hash['term'] ?? 0),
      runId: hash['run_id'] ?? '',
      systemId: hash['system_id'] ?? '',
      timeline: Number(hash['timeline'] ?? 0),
      slot: hash['slot'] ?? '',
      publication: hash['publication'] ?? '',
      position: lsnFromHex(position.slice(epoch.length + 1)),
    };
  }

  /** Identity of what holds the epoch: see readRunId() of platform/redis.ts. */
  readRunId(): Promise<string> {
    return reachable(readRunId(this.#redis));
  }

  /** True when this Redis has evicted keys since the epoch in it was opened: nobody knows which. */
  async hasEvicted(): Promise<boolean> {
    // Of a Cluster it belongs to the identity.
    if (this.#redis instanceof Cluster) return false;
    const [info, known] = await reachable(
      Promise.all([this.#redis.info('stats'), this.#redis.hget(this.#keys.control, 'evicted')]),
    );
    return known !== null && evictedOf(info) !== known;
  }

  /** Called once by a new leader, before anything else: from here on older leaders' global writes are refused. */
  async raiseTerm(): Promise<number> {
    return Number(await reachable(runScript(this.#redis, RAISE_TERM, [this.#keys.control], [])));
  }

  /** A new epoch, with the older one's keys dropped. `base`: all commits that end at or before it are visible. */
  async openEpoch(options: { term: number; base: Lsn; identity: EpochIdentity }): Promise<Epoch> {
    const { term, base, identity } = options;
    const epoch: Epoch = { id: newEpochId(), base };
    const runId = await this.readRunId();
    await this.#run(
      OPEN_EPOCH,
      [this.#keys.control, this.#keys.live, this.#keys.position],
      [
        term,
        epoch.id,
        lsnToHex(base),
        runId,
        identity.systemId,
        identity.timeline,
        identity.slot,
        identity.publication,
        this.#keys.epochs,
      ],
    );
    await this.dropStaleEpochs();
    return epoch;
  }

  /**
   * Drops the keys of epochs that are over; nothing can read them any more, so this is about memory only. What a crash
   * left undropped stays listed and is dropped by the next leader.
   */
  async dropStaleEpochs(): Promise<void> {
    const stale = (await reachable(this.#redis.hget(this.#keys.control, 'stale'))) ?? '';
    const families = allFamilies();
    for (const epoch of stale.split(' ').filter((id) => id !== '')) {
      const set = this.#keys.accounts(epoch);
      for (;;) {
        const ids = await reachable(this.#redis.spop(set, ACCOUNTS_PER_ROUND));
        if (ids.length === 0) break;
        await reachable(
          Promise.all(ids.map((id) => this.#dropAccount(Number(id), epoch, families))),
        );
      }
      this.#log.info({ epoch }, 'dropped the keys of an older epoch');
    }
    if (stale !== '') await reachable(this.#redis.hset(this.#keys.control, 'stale', ''));
  }

  async #dropAccount(accountId: number, epoch: string, families: readonly string[]): Promise<void> {
    const keys = accountKeys(this.#space, accountId, epoch);
    await this.#redis.unlink(keys.head, keys.log, keys.sizes, ...families.map(keys.family));
  }

  /** After a takeover: makes every account refuse what an older leader, paused and awake again, would write. */
  async fence({ term, epoch }: Mandate): Promise<void> {
    const accountIds = await this.readAccounts(epoch);
    while (accountIds.length > 0) {
      const round = accountIds.splice(0, ACCOUNTS_PER_ROUND);
      const heads = round.map((id) => accountKeys(this.#space, id, epoch.id).head);
      await Promise.all(heads.map((head) => this.#run(FENCE, [head], [term])));
    }
  }

  /** Accounts that have anything in Redis in this epoch: entries, log or both. */
  async readAccounts(epoch: Epoch): Promise<number[]> {
    return (await reachable(this.#redis.smembers(this.#keys.accounts(epoch.id)))).map(Number);
  }

  /** Every commit that ends at or before `position` is applied. Never goes back. */
  async advance({ term, epoch, position }: Mandate & { position: Lsn }): Promise<void> {
    await this.#run(
      ADVANCE,
      [this.#keys.control, this.#keys.position],
      [term, epoch.id, lsnToHex(position)],
    );
  }

  /** Redis' clock in ms (in a Cluster, that of the node with control): leases are reckoned by it alone. */
  async redisTimeMs(): Promise<number> {
    const clock = await reachable(runScript(this.#redis, READ_CLOCK, [this.#keys.control], []));
    const [seconds, micros] = clock as [string, string];
    return Number(seconds) * 1_000 + Math.floor(Number(micros) / 1_000);
  }

  /**
   * Lets readers trust the cache until LIVENESS_MS after the heartbeat that has now come back was *sent*
   * (`sentAtMs`, Redis' clock). False when that is past already: the pipeline lags too far behind to vouch.
   * @throws ClarinError `configuration` too, when somebody has told this Redis to evict.
   */
  async renewLease({ term, epoch, sentAtMs }: Mandate & { sentAtMs: number }): Promise<boolean> {
    const { runId } = await this.#requireControl(epoch);
    // RENEW looks at the node that it runs on; of the others nobody else would notice that they have lost something.
    if (this.#redis instanceof Cluster && (await this.readRunId()) !== runId) throw epochLost();
    const payload = JSON.stringify({
      epoch: epoch.id,
      base: lsnToHex(epoch.base),
      run_id: runId,
      term,
      sent_at_ms: sentAtMs,
    });
    const answer = await this.#run(
      RENEW,
      [this.#keys.control, this.#keys.live],
      [term, epoch.id, sentAtMs + LIVENESS_MS, payload],
    );
    if (answer === 'evicts') throw redisEvicts();
    return answer === 'ok';
  }

  async #requireControl(epoch: Epoch): Promise<{ runId: string }> {
    const [known, runId] = await reachable(
      this.#redis.hmget(this.#keys.control, 'epoch', 'run_id'),
    );
    if (known !== epoch.id || !runId) throw epochLost();
    return { runId };
  }

  /** The leader's process is running, whatever its lag. */
  async beat(term: number): Promise<void> {
    await this.#run(BEAT, [this.#keys.control, this.#keys.leader], [term, BEAT_MS]);
  }

  async isLeaderAlive(): Promise<boolean> {
    return (await reachable(this.#redis.exists(this.#keys.leader))) === 1;
  }

  async #run(
    script: Script,
    keys: readonly string[],
    args: readonly (string | number)[],
  ): Promise<unknown> {
    const answer = await reachable(runScript(this.#redis, script, keys, args));
    assertAnswer(answer);
    return answer;
  }
}

/** @throws ClarinError for the two refusals that scripts answer. */
export function assertAnswer(answer: unknown): void {
  if (answer === 'term') throw new ClarinError('leadership_lost', 'a newer leader has taken over');
  if (answer === 'lost') throw epochLost();
}

function epochLost(): ClarinError {
  return new ClarinError('epoch_lost', 'Redis no longer holds this epoch');
}

/** Turns whatever the connection throws into `unavailable`; a script's own fault stays a fault. */
export async function reachable<T>(answer: Promise<T>): Promise<T> {
  try {
    return await answer;
  } catch (error) {
    throw new ClarinError(
      'unavailable',
      `Redis: ${error instanceof Error ? error.message : String(error)}`,
      {
        cause: error,
      },
    );
  }
}

function newEpochId(): string {
  return BigInt(`0x${randomBytes(8).toString('hex')}`).toString(36);
}
