import { LIVENESS_MS } from '../../domain/cache-key.ts';
import { HEARTBEAT_MS } from '../../domain/feed-protocol.ts';
import type { Lsn } from '../../domain/lsn.ts';
import { sleep } from '../../platform/backoff.ts';
import { AccountLog, LogWatcher } from '../../platform/cache/account-log.ts';
import { ControlStore } from '../../platform/cache/control.ts';
import type { Config } from '../../platform/config.ts';
import { judgeHealth, type Health, type HealthCheck } from '../../platform/health.ts';
import type { Running } from '../../platform/lifecycle.ts';
import type { Log } from '../../platform/log.ts';
import { createMetrics } from '../../platform/metrics.ts';
import { createDatabase } from '../../platform/postgres.ts';
import { assertRedisFits, createRedis } from '../../platform/redis.ts';
import { startFeedServer } from './feed-server.ts';
import { GatewaySource } from './gateway-source.ts';
import { Hub } from './hub.ts';

/** How often the position is read: the longest a lost channel message can delay a commit. */
const POLL_MS = HEARTBEAT_MS / 2;

/**
 * Role `gateway`: one more feed server, anywhere, fed from the accounts' logs in Redis. It knows nothing of replication:
 * the epoch and the position come from Redis, too. When Redis is gone for longer than readers trust its cache, sockets
 * are asked to come again and new ones are refused, until it is back.
 * @throws ClarinError `configuration` for a port that is taken or a Redis that does not fit.
 */
export async function startGateway(
  config: Config,
  log: Log,
  signal: AbortSignal,
): Promise<Running & { port: number }> {
  const metrics = createMetrics('gateway');
  const space = { prefix: config.redisPrefix };
  const redis = createRedis({ url: config.redisUrl, name: 'clarin-gateway', log });
  const channels = createRedis({ url: config.redisUrl, name: 'clarin-gateway-channels', log });
  const database = createDatabase({
    url: config.databaseUrl,
    applicationName: 'clarin-gateway',
    max: config.poolMax,
    statementTimeoutMs: config.statementTimeoutMs,
    log,
  });
  const hub = new Hub({ metrics, log });
  const accountLog = new AccountLog({ redis, space });
  const watcher = new LogWatcher({ redis: channels, space });
  const source = new GatewaySource({ hub, accountLog, watcher, metrics, log });
  hub.useSource(source);
  const stopping = new AbortController();
  const closeAll = async (): Promise<void> => {
    stopping.abort();
    redis.disconnect();
    channels.disconnect();
    await database.close();
  };
  try {
    await Promise.all([redis.connect(), channels.connect()]);
    await assertRedisFits(redis);
    const poll = new Poll({ hub, source, control: new ControlStore({ redis, space, log }), log });
    channels.on('ready', () => poll.reopen());
    await poll.once();
    const server = await startFeedServer({
      host: config.host,
      port: config.gatewayPort,
      portSetting: 'GATEWAY_PORT',
      hub,
      database,
      accountLog,
      secret: config.secret,
      log,
      metrics,
      health: () => poll.health(),
      allowedOrigins: config.allowedOrigins,
    });
    const polling = poll.run(AbortSignal.any([signal, stopping.signal]));
    return {
      port: server.port,
      stop: async () => {
        stopping.abort();
        await polling;
        await server.stop();
        await closeAll();
      },
    };
  } catch (error) {
    await closeAll();
    throw error;
  }
}

type PollOptions = {
  readonly hub: Hub;
  readonly source: GatewaySource;
  readonly control: ControlStore;
  readonly log: Log;
};

/** Follows epoch and position. One round after the other; a round that fails is tried again at the next tick. */
class Poll {
  readonly #options: PollOptions;
  #answeredAtMs = performance.now();
  #movedAtMs = performance.now();
  #beatAtMs = 0;
  #position: Lsn | undefined;
  #hasAnswer = false;
  #mustReopen = false;

  constructor(options: PollOptions) {
    this.#options = options;
  }

  /** Every channel has to be entered anew: at the next round. */
  reopen(): void {
    this.#mustReopen = true;
  }

  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await this.once();
      await sleep(POLL_MS, signal).catch(() => undefined);
    }
  }

  async once(): Promise<void> {
    const { log } = this.#options;
    try {
      await this.#round();
      this.#answeredAtMs = performance.now();
      if (!this.#hasAnswer) log.info('Redis answers; the gateway follows it');
      this.#hasAnswer = true;
    } catch (error) {
      if (this.#hasAnswer) log.warn({ error }, 'Redis does not answer; the gateway stands still');
      this.#hasAnswer = false;
      // Longer than this and nobody may be let believe that silence means that nothing happened.
      if (performance.now() - this.#answeredAtMs > LIVENESS_MS) this.#stepDown();
    }
  }

  #stepDown(): void {
    this.#position = undefined;
    this.#options.hub.stepDown();
  }

  async #round(): Promise<void> {
    const { hub, source, control } = this.#options;
    const state = await control.readControl();
    if (!state) return this.#stepDown();
    const isNew = hub.epoch?.id !== state.epoch.id;
    if (isNew) {
      this.#position = undefined;
      hub.openEpoch(state.epoch);
    }
    if (isNew || this.#mustReopen) {
      this.#mustReopen = false;
      await source.reopen().catch((error: unknown) => {
        this.#mustReopen = true;
        throw error;
      });
    }
    await source.advance(state.position);
    const nowMs = performance.now();
    if (this.#position === undefined || state.position > this.#position) {
      this.#position = state.position;
      this.#movedAtMs = nowMs;
    }
    // Half a poll of slack: a beat a second, not one in a second and a half.
    if (
      nowMs - this.#beatAtMs < HEARTBEAT_MS - POLL_MS / 2 ||
      nowMs - this.#movedAtMs > HEARTBEAT_MS
    )
      return;
    this.#beatAtMs = nowMs;
    hub.heartbeat();
  }

  health(): Health {
    const { hub } = this.#options;
    const stillMs = Math.round(performance.now() - this.#movedAtMs);
    const checks: HealthCheck[] = [
      {
        name: 'redis',
        ok: this.#hasAnswer,
        says: this.#hasAnswer
          ? 'Redis answers'
          : 'Redis does not answer: sockets are not served; see that it runs',
      },
      {
        name: 'feed',
        ok: hub.epoch !== undefined && stillMs <= LIVENESS_MS,
        says:
          hub.epoch === undefined
            ? 'no epoch is open: start a replicator'
            : `the replicator's position moved ${stillMs} ms ago`,
      },
    ];
    return judgeHealth(checks);
  }
}
