import type { Log } from '../../../platform/log.ts';
import type { Metrics } from '../../../platform/metrics.ts';
import type { Database } from '../../../platform/postgres.ts';
import {
  admitConnection,
  noteProvenVersion,
  noteRefusedVersion,
} from '../../commands/whatsapp-versions.ts';
import { createBell, type Bell } from '../bell.ts';
import type { Clock } from '../clock.ts';

type Means = {
  readonly database: Database;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: Metrics;
};

/** While nobody may connect, and while the database does not say: how often it is asked, by all devices of a process together. */
const ASK_EVERY_MS = 15_000;

/**
 * Lets devices connect as whatsapp-versions.ts says, for all devices of a process: while nobody may, one of them asks for
 * all.
 */
export class VersionBreaker {
  readonly #means: Means;
  readonly #own: string;
  readonly #waiting = new Set<Bell>();
  /** Resolves when the one who asks has its answer, or none. */
  #asking: Promise<unknown> | undefined;
  #askAgainAt = -Infinity;
  #retryAtMs = 0;

  /** `own`: the version that Baileys brings. */
  constructor(means: Means, own: string) {
    this.#means = means;
    this.#own = own;
  }

  /**
   * The version to connect with, as soon as that may be. `onClosed`: it may not now; called each time that it is known
   * when it will be, Unix ms. @throws the signal's reason, ClarinError.
   */
  async admit(
    signal: AbortSignal,
    onClosed: (retryAtMs: number) => Promise<void>,
  ): Promise<{ version: string; isProbe: boolean }> {
    const { clock } = this.#means;
    for (;;) {
      // That somebody asks does not say that nobody may.
      while (this.#asking) await this.#asking;
      signal.throwIfAborted();
      const admission = clock.elapsed() < this.#askAgainAt ? undefined : await this.#askAlone();
      if (admission) return admission;
      await onClosed(this.#retryAtMs);
      const bell = createBell(clock);
      this.#waiting.add(bell);
      try {
        await bell.wait(Math.max(0, this.#askAgainAt - clock.elapsed()), signal);
      } finally {
        this.#waiting.delete(bell);
      }
    }
  }

  async #askAlone(): Promise<{ version: string; isProbe: boolean } | undefined> {
    const asking = this.#ask();
    this.#asking = asking.catch(() => undefined);
    try {
      return await asking;
    } finally {
      this.#asking = undefined;
    }
  }

  /** Undefined: nobody may. */
  async #ask(): Promise<{ version: string; isProbe: boolean } | undefined> {
    const { database, clock, metrics, log } = this.#means;
    // Before the answer: who comes meanwhile need not ask.
    this.#askAgainAt = clock.elapsed() + ASK_EVERY_MS;
    const admission = await admitConnection(database, this.#own).catch((error: unknown) => {
      this.#askAgainAt = -Infinity;
      throw error;
    });
    metrics.whatsappBreakerOpen.set(admission.kind === 'go' && !admission.isProbe ? 0 : 1);
    if (admission.kind === 'go') {
      if (admission.isProbe)
        log.warn({ version: admission.version }, 'a version of WhatsApp is tried');
      else this.wake();
      return admission;
    }
    const waitMs = Math.min(admission.waitMs, ASK_EVERY_MS);
    this.#askAgainAt = clock.elapsed() + waitMs;
    this.#retryAtMs = clock.now() + admission.waitMs;
    return undefined;
  }

  /** There may be something new: whoever waits asks. */
  wake(): void {
    this.#askAgainAt = -Infinity;
    for (const bell of this.#waiting) bell.ring();
  }

  /** WhatsApp refused the version. @throws ClarinError. */
  async refused(deviceId: number, version: string): Promise<void> {
    const { database, log, metrics } = this.#means;
    const refusal = { deviceId, version };
    const { value: isIncident } = await database.transaction((tx) =>
      noteRefusedVersion(tx, refusal),
    );
    if (!isIncident) return;
    metrics.whatsappBreakerOpen.set(1);
    log.error(
      { version },
      'WhatsApp refuses the version of the client: no device connects before another one is let in. See /ops/devices',
    );
  }

  /** A device was let in. `sinceMs`: how long ago it began to connect. Never rejects. */
  async proven(version: string, sinceMs: number): Promise<void> {
    const { database, log, metrics } = this.#means;
    try {
      const { value: isOver } = await database.transaction((tx) =>
        noteProvenVersion(tx, { version, sinceMs }),
      );
      if (!isOver) return;
      metrics.whatsappBreakerOpen.set(0);
      log.info({ version }, 'WhatsApp accepts a version of the client again');
      this.wake();
    } catch (error) {
      // The next one that is let in says it too.
      log.warn({ error }, 'that a version of WhatsApp works was not written');
    }
  }
}
