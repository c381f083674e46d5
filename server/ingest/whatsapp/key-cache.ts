import type { Clock } from '../clock.ts';

/**
 * The keys that the devices of this process used last, as they are in the database, in the clear. One process has a
 * device at a time, so that nobody else writes them; still it never runs ahead of the database: what is written comes
 * here after its commit, and when nobody knows what became of a commit, everything of the device goes.
 *
 * Null stands for a key that there is not.
 */
export type KeyCache = {
  /** Undefined: not known here. What is given is not to be changed. */
  get(deviceId: number, type: string, id: string): Uint8Array | null | undefined;
  /** Before reading what is not known here. */
  startReading(deviceId: number): KeyReading;
  /** After the commit. */
  put(deviceId: number, keys: readonly CachedKey[]): void;
  /** Everything of the device, and what is being read of it stays out. */
  drop(deviceId: number): void;
  stats(): { readonly entries: number; readonly bytes: number };
};

export type CachedKey = {
  readonly type: string;
  readonly id: string;
  readonly value: Uint8Array | null;
};

/** A read under way: it may have seen the database before a commit that came here in the meantime. */
export type KeyReading = {
  /** Keeps what was read, but for what was written since. Ends the reading. */
  keep(keys: readonly CachedKey[]): void;
  /** Ends it with nothing. */
  end(): void;
};

type Entry = {
  readonly deviceId: number;
  readonly value: Uint8Array | null;
  readonly bytes: number;
  /** On the clock's `elapsed`. */
  readonly endsAt: number;
};
type Device = { readonly names: Set<string>; readonly readings: Set<Reading> };
type Reading = { readonly written: Set<string>; isOver: boolean };

const LIMITS = { entriesMax: 100_000, bytesMax: 64 << 20 };
/** Of the map, the name and the objects, roughly. */
const ENTRY_BYTES = 200;
/** A ratchet that rests is nobody's business in memory. */
const SESSION_MS = 5 * 60_000;
/** Made by the hundred, read once each. */
const READ_ONCE = 'pre-key';

/** Bounded by both limits; the key that was used longest ago goes first. */
export function createKeyCache(
  clock: Pick<Clock, 'elapsed'>,
  limits: typeof LIMITS = LIMITS,
): KeyCache {
  return new RecentKeys(clock, limits);
}

class RecentKeys implements KeyCache {
  readonly #clock: Pick<Clock, 'elapsed'>;
  readonly #limits: typeof LIMITS;
  /** In the order of their last use. */
  readonly #entries = new Map<string, Entry>();
  readonly #devices = new Map<number, Device>();
  #bytes = 0;

  constructor(clock: Pick<Clock, 'elapsed'>, limits: typeof LIMITS) {
    this.#clock = clock;
    this.#limits = limits;
  }

  get(deviceId: number, type: string, id: string): Uint8Array | null | undefined {
    const name = nameOf(deviceId, type, id);
    const entry = this.#entries.get(name);
    if (!entry) return undefined;
    if (entry.endsAt <= this.#clock.elapsed()) {
      this.#remove(name);
      return undefined;
    }
    this.#entries.delete(name);
    this.#entries.set(name, entry);
    return entry.value;
  }

  startReading(deviceId: number): KeyReading {
    const reading: Reading = { written: new Set(), isOver: false };
    this.#deviceOf(deviceId).readings.add(reading);
    const end = (): void => {
      if (reading.isOver) return;
      reading.isOver = true;
      this.#devices.get(deviceId)?.readings.delete(reading);
      this.#forgetIfEmpty(deviceId);
    };
    const keep = (keys: readonly CachedKey[]): void => {
      if (reading.isOver) return;
      for (const key of keys)
        if (!reading.written.has(nameOf(deviceId, key.type, key.id))) this.#add(deviceId, key);
      end();
    };
    return { keep, end };
  }

  put(deviceId: number, keys: readonly CachedKey[]): void {
    for (const key of keys) {
      const name = nameOf(deviceId, key.type, key.id);
      for (const { written } of this.#devices.get(deviceId)?.readings ?? []) written.add(name);
      if (key.type === READ_ONCE) this.#remove(name);
      else this.#add(deviceId, key);
    }
  }

  drop(deviceId: number): void {
    const device = this.#devices.get(deviceId);
    if (!device) return;
    for (const reading of device.readings) reading.isOver = true;
    device.readings.clear();
    for (const name of device.names) this.#remove(name);
    this.#forgetIfEmpty(deviceId);
  }

  stats(): { entries: number; bytes: number } {
    return { entries: this.#entries.size, bytes: this.#bytes };
  }

  #add(deviceId: number, { type, id, value }: CachedKey): void {
    const name = nameOf(deviceId, type, id);
    this.#remove(name);
    const { entriesMax, bytesMax } = this.#limits;
    const bytes = ENTRY_BYTES + 2 * name.length + (value?.length ?? 0);
    if (bytes > bytesMax) return;
    const endsAt = type === 'session' ? this.#clock.elapsed() + SESSION_MS : Infinity;
    this.#entries.set(name, { deviceId, value, bytes, endsAt });
    this.#deviceOf(deviceId).names.add(name);
    this.#bytes += bytes;
    for (const oldest of this.#entries.keys()) {
      if (this.#entries.size <= entriesMax && this.#bytes <= bytesMax) return;
      this.#remove(oldest);
    }
  }

  #remove(name: string): void {
    const entry = this.#entries.get(name);
    if (!entry) return;
    this.#entries.delete(name);
    this.#bytes -= entry.bytes;
    this.#devices.get(entry.deviceId)?.names.delete(name);
    this.#forgetIfEmpty(entry.deviceId);
  }

  #deviceOf(deviceId: number): Device {
    const device = this.#devices.get(deviceId) ?? { names: new Set(), readings: new Set() };
    this.#devices.set(deviceId, device);
    return device;
  }

  #forgetIfEmpty(deviceId: number): void {
    const device = this.#devices.get(deviceId);
    if (device?.names.size === 0 && device.readings.size === 0) this.#devices.delete(deviceId);
  }
}

function nameOf(deviceId: number, type: string, id: string): string {
  return `${deviceId}/${type}/${id}`;
}
