import type { Running } from '../../../platform/lifecycle.ts';
import { KOMMO_CHANNEL, parseKommoNote, type KommoNote } from '../../../platform/kommo-notes.ts';
import { createBell, type Bell } from '../bell.ts';
import type { LeaseKind } from '../leases.ts';
import { listenTo } from '../listen.ts';
import { nextStretch } from './cadence.ts';
import { connectionOf, readConnections, wantedLeases } from './connections.ts';
import type { SessionMeans } from './open-session.ts';
import { Runner } from './runner.ts';
import { watchMeans, type Waits } from './watched-means.ts';

type Means = SessionMeans & {
  readonly databaseUrl: string;
};

/** Between two looks at all connections of this worker, by one statement: what the notes did not say. */
const LOOK_MS = 5_000;

/**
 * Reads Kommo: a runner for each connection whose lease this worker has. What the API says wakes the one it is about; what
 * it said while nobody heard is found by looking.
 */
export class KommoWorker implements Running {
  readonly kind: LeaseKind;
  readonly #means: Means;
  readonly #waits: Waits;
  readonly #runners = new Map<number, Runner>();
  readonly #stopping = new AbortController();
  readonly #looking: Bell;
  /** Connections that something was said of since the last look. */
  readonly #told = new Set<number>();
  #stretch = 1;
  #running: Running | undefined;
  #done: Promise<unknown> = Promise.resolve();

  constructor(means: Means) {
    const watched = watchMeans(means.kommo, means);
    this.#means = { ...means, kommo: watched.means };
    this.#waits = watched.waits;
    this.#looking = createBell(means.clock);
    const runnerMeans = { ...this.#means, stretch: () => this.#stretch };
    this.kind = {
      name: 'kommo',
      wanted: wantedLeases,
      start: (lease, onLost) => {
        const connectionId = connectionOf(lease.resource);
        const runner = new Runner(runnerMeans, { lease, connectionId, onLost }).start();
        this.#runners.set(connectionId, runner);
        return { stop: () => this.#end(connectionId, runner) };
      },
    };
  }

  /** `wakeLeases`: there may be a connection that nobody has. */
  start(wakeLeases: () => void): this {
    const { databaseUrl, clock, log } = this.#means;
    this.#running = listenTo({
      databaseUrl,
      channel: KOMMO_CHANNEL,
      parse: parseKommoNote,
      clock,
      log,
      onNote: (note) => this.#hear(note, wakeLeases),
      onListening: () => this.#looking.ring(),
    });
    this.#done = this.#watch();
    return this;
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    await Promise.all([this.#running?.stop(), this.#done]);
  }

  async #end(connectionId: number, runner: Runner): Promise<void> {
    if (this.#runners.get(connectionId) === runner) this.#runners.delete(connectionId);
    await runner.stop();
    this.#means.metrics.kommoLagSeconds.remove({ connection: String(connectionId) });
  }

  #hear(note: KommoNote, wakeLeases: () => void): void {
    if (note.kind === 'watched') {
      for (const runner of this.#runners.values()) runner.watched(note.accountId);
      return;
    }
    const runner = this.#runners.get(note.connectionId);
    if (note.kind === 'hint') return runner?.hint();
    this.#told.add(note.connectionId);
    this.#looking.ring();
    // Connected, or disconnected: who has what changes.
    wakeLeases();
  }

  async #watch(): Promise<void> {
    const { signal } = this.#stopping;
    const { log } = this.#means;
    try {
      for (;;) {
        await this.#look().catch((error: unknown) => {
          if (!signal.aborted) log.warn({ error }, 'Kommo connections could not be looked at');
        });
        await this.#looking.wait(LOOK_MS, signal);
      }
    } catch (error) {
      if (!signal.aborted) throw error;
    }
  }

  async #look(): Promise<void> {
    const { database, metrics } = this.#means;
    this.#stretch = nextStretch(this.#stretch, this.#waits.takeAverageMs());
    metrics.kommoStretch.set(this.#stretch);
    const told = new Set(this.#told);
    this.#told.clear();
    const connections = await readConnections(database, [...this.#runners.keys()]);
    for (const connection of connections)
      this.#runners
        .get(connection.connectionId)
        ?.refresh(connection, told.has(connection.connectionId));
    this.#measure();
  }

  #measure(): void {
    const { kommoLagSeconds, kommoConnections } = this.#means.metrics;
    kommoConnections.reset();
    for (const runner of this.#runners.values()) {
      const lagMs = runner.lagMs();
      const connection = String(runner.connectionId);
      if (lagMs !== undefined) kommoLagSeconds.set({ connection }, lagMs / 1_000);
      kommoConnections.inc({ status: runner.state()?.status ?? 'connected' });
    }
  }
}
