import type { PossiblyExtendedCacheStore } from '@whiskeysockets/baileys';
import type { Clock } from '../clock.ts';

type Options = { readonly clock: Clock; readonly entriesMax: number; readonly lifeMs: number };
type Entry = { readonly value: unknown; readonly until: number };

/**
 * What Baileys remembers for a while to save questions: nothing that may not be forgotten. One for all sockets of the
 * process, because one for each grows with their number; what was used longest ago goes first.
 */
export class SharedCache {
  readonly #options: Options;
  /** In order of use. */
  readonly #entries = new Map<string, Entry>();

  constructor(options: Options) {
    this.#options = options;
  }

  get size(): number {
    return this.#entries.size;
  }

  /** Of one device: the same key of another is another entry. */
  of(deviceId: number): PossiblyExtendedCacheStore {
    const prefix = `${deviceId}/`;
    return {
      get: <T>(key: string) => this.#get(prefix + key) as T | undefined,
      set: (key, value) => this.#set(prefix + key, value),
      del: (key) => void this.#entries.delete(prefix + key),
      flushAll: () => {
        for (const key of this.#entries.keys())
          if (key.startsWith(prefix)) this.#entries.delete(key);
      },
    };
  }

  #get(key: string): unknown {
    const entry = this.#entries.get(key);
    if (!entry) return undefined;
    this.#entries.delete(key);
    if (entry.until <= this.#options.clock.elapsed()) return undefined;
    this.#entries.set(key, entry);
    return entry.value;
  }

  #set(key: string, value: unknown): void {
    const { clock, entriesMax, lifeMs } = this.#options;
    this.#entries.delete(key);
    this.#entries.set(key, { value, until: clock.elapsed() + lifeMs });
    for (const oldest of this.#entries.keys()) {
      if (this.#entries.size <= entriesMax) return;
      this.#entries.delete(oldest);
    }
  }
}

export type SharedCaches = {
  /** How often a message was asked for again. */
  readonly retries: SharedCache;
  /** Which devices people have. */
  readonly devices: SharedCache;
  readonly calls: SharedCache;
  /** Messages that the phone was asked for. */
  readonly placeholders: SharedCache;
};

const MINUTE_MS = 60_000;

/** For all devices of the process. */
export function createSharedCaches(clock: Clock): SharedCaches {
  const of = (entriesMax: number, minutes: number): SharedCache =>
    new SharedCache({ clock, entriesMax, lifeMs: minutes * MINUTE_MS });
  return {
    retries: of(50_000, 60),
    devices: of(50_000, 5),
    calls: of(5_000, 5),
    placeholders: of(20_000, 60),
  };
}
