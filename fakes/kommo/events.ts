import { drawDelay, type Core } from './core.ts';
import type { EventFacts } from './event-kinds.ts';

export type KommoEvent = EventFacts & {
  /** Text, and in the order of time. */
  readonly id: string;
  readonly createdAt: number;
  readonly createdBy: number;
  /** When the API shows it, milliseconds. */
  readonly shownFromMs: number;
};

export type EventFilter = {
  readonly ids?: readonly string[];
  readonly types?: readonly string[];
  readonly entityTypes?: readonly string[];
  readonly entityIds?: readonly number[];
  readonly createdBy?: readonly number[];
  /** Unix seconds. */
  readonly from?: number;
  readonly to?: number;
};

/** Kommo does not say how long it keeps them. */
const EVENTS_MAX = 200_000;
const DIGITS = '0123456789abcdefghjkmnpqrstvwxyz';

/** What happened in an account, oldest first; shown a little later than it happened when `eventDelayMs` says so. */
export class Events {
  readonly #core: Core;
  #events: KommoEvent[] = [];
  #count = 0;

  constructor(core: Core) {
    this.#core = core;
  }

  record(facts: readonly EventFacts[], by: number): void {
    const { clock, random, settings } = this.#core;
    for (const fact of facts) {
      if (settings.eventLoss > 0 && random.next() < settings.eventLoss) continue;
      this.#events.push({
        ...fact,
        id: this.#nextId(clock.now()),
        createdAt: this.#core.seconds(),
        createdBy: by,
        shownFromMs: clock.now() + drawDelay(random, settings.eventDelayMs),
      });
    }
    // In one go and seldom: shifting one by one would be slow.
    if (this.#events.length > EVENTS_MAX * 1.1) this.#events = this.#events.slice(-EVENTS_MAX);
  }

  /** All that are shown by now and match, in the order of `eventOrder`. */
  list(filter: EventFilter): KommoEvent[] {
    const { clock, settings } = this.#core;
    const nowMs = clock.now();
    const found = this.#events.filter(
      (event) => event.shownFromMs <= nowMs && matches(event, filter),
    );
    return settings.eventOrder === 'newest' ? found.reverse() : found;
  }

  get(id: string): KommoEvent | undefined {
    const nowMs = this.#core.clock.now();
    return this.#events.find((event) => event.id === id && event.shownFromMs <= nowMs);
  }

  /** As Kommo's look: 26 digits, the time in the first ten. */
  #nextId(nowMs: number): string {
    this.#count += 1;
    return base32(Math.floor(nowMs), 10) + base32(this.#core.accountId, 8) + base32(this.#count, 8);
  }
}

function matches(event: KommoEvent, filter: EventFilter): boolean {
  const { ids, types, entityTypes, entityIds, createdBy, from, to } = filter;
  return (
    (ids?.includes(event.id) ?? true) &&
    (types?.includes(event.type) ?? true) &&
    (entityTypes?.includes(event.entityType) ?? true) &&
    (entityIds?.includes(event.entityId) ?? true) &&
    (createdBy?.includes(event.createdBy) ?? true) &&
    (from === undefined || event.createdAt >= from) &&
    (to === undefined || event.createdAt <= to)
  );
}

function base32(value: number, length: number): string {
  let rest = value;
  let text = '';
  for (let index = 0; index < length; index += 1) {
    text = (DIGITS[rest % 32] ?? '0') + text;
    rest = Math.floor(rest / 32);
  }
  return text;
}
