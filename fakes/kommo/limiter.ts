import { z } from 'zod';
import type { Clock } from './clock.ts';

/** Published: 7 requests a second for one IP, then 429; repeated, 403 for everything from there. The rest is unknown. */
export const limiterSettings = z.strictObject({
  perSecond: z.int().min(1).default(7),
  /** Any span of a second, or each second of the clock. */
  window: z.enum(['sliding', 'calendar']).default('sliding'),
  /** Whether a refused request counts as one. */
  doRefusedCount: z.boolean().default(true),
  /** In the body of the 429. */
  retryAfterSeconds: z.int().min(1).max(300).default(300),
  /** Whether it is in a `Retry-After` header too. */
  isInHeader: z.boolean().default(false),
  /** Whether it is kept: 429 for everything until then. */
  isHeld: z.boolean().default(false),
  /** problem+json, or a page as the web server has it. */
  as: z.enum(['json', 'html']).default('json'),
  /** After so many 429 the address is shut out with an HTML 403; null for never. */
  banAfter: z.int().min(1).nullable().default(20),
  banSeconds: z.number().min(0).default(900),
  /** Without a 429 for so long all of them are forgotten. */
  forgiveSeconds: z.number().min(0).default(600),
});
export type LimiterSettings = z.output<typeof limiterSettings>;

export type Verdict = 'pass' | 'too many' | 'banned';

type Visitor = {
  /** Of the requests that count, milliseconds; only those of the last second. */
  recentMs: number[];
  refused: number;
  lastRefusedMs: number;
  heldUntilMs: number;
  bannedUntilMs: number;
};

const VISITORS_MAX = 10_000;

/** One bucket for each client address. Its time is the wire's. */
export class Limiter {
  /** May be set at any time. */
  readonly settings: LimiterSettings;
  readonly #clock: Clock;
  readonly #visitors = new Map<string, Visitor>();

  constructor(settings: Partial<LimiterSettings>, clock: Clock) {
    this.settings = limiterSettings.parse(settings);
    this.#clock = clock;
  }

  set(settings: Partial<LimiterSettings>): void {
    Object.assign(this.settings, limiterSettings.parse({ ...this.settings, ...settings }));
  }

  /** Counts a request and says what becomes of it. */
  judge(address: string): Verdict {
    const { perSecond, doRefusedCount, forgiveSeconds } = this.settings;
    const now = this.#clock.now();
    const visitor = this.#visitorOf(address);
    if (now < visitor.bannedUntilMs) return 'banned';
    visitor.recentMs = visitor.recentMs.filter((each) => this.#isWithin(each, now));
    const isTooMany = visitor.recentMs.length >= perSecond || now < visitor.heldUntilMs;
    if (!isTooMany || doRefusedCount) visitor.recentMs.push(now);
    if (!isTooMany) return 'pass';
    if (now - visitor.lastRefusedMs > forgiveSeconds * 1_000) visitor.refused = 0;
    return this.#refuse(visitor, now);
  }

  /** Shuts an address out as if it had earned it. */
  ban(address: string, seconds: number): void {
    this.#visitorOf(address).bannedUntilMs = this.#clock.now() + seconds * 1_000;
  }

  /** As if nobody had ever come. */
  forgive(): void {
    this.#visitors.clear();
  }

  #refuse(visitor: Visitor, now: number): Verdict {
    const { retryAfterSeconds, isHeld, banAfter, banSeconds } = this.settings;
    visitor.refused += 1;
    visitor.lastRefusedMs = now;
    if (isHeld) visitor.heldUntilMs = now + retryAfterSeconds * 1_000;
    if (banAfter !== null && visitor.refused >= banAfter) {
      visitor.refused = 0;
      visitor.bannedUntilMs = now + banSeconds * 1_000;
    }
    return 'too many';
  }

  #isWithin(atMs: number, now: number): boolean {
    if (this.settings.window === 'sliding') return atMs > now - 1_000;
    return Math.floor(atMs / 1_000) === Math.floor(now / 1_000);
  }

  #visitorOf(address: string): Visitor {
    let visitor = this.#visitors.get(address);
    if (visitor === undefined) {
      visitor = {
        recentMs: [],
        refused: 0,
        lastRefusedMs: -Infinity,
        heldUntilMs: -Infinity,
        bannedUntilMs: -Infinity,
      };
      const [oldest] = this.#visitors.keys();
      if (this.#visitors.size >= VISITORS_MAX && oldest !== undefined) {
        this.#visitors.delete(oldest);
      }
      this.#visitors.set(address, visitor);
    }
    return visitor;
  }
}
