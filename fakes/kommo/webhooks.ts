import type { Clock } from './clock.ts';
import type { Core } from './core.ts';
import { toForm } from './form.ts';
import type { WebhookEntry, WebhookSetting } from './webhook-kinds.ts';

/**
 * Webhooks of one account, as documented (https://developers.kommo.com/docs/webhooks-general): a form is posted, an answer of
 * 100 to 299 within 2 seconds is a good one, else it comes again after 5, 15, 15 minutes and an hour and then no more.
 * More than 100 bad answers in two hours, the last one bad, and the webhook is disabled until a person enables it.
 * Changes of one moment go out together, one post at a time for each webhook. The waits are of the world's clock, the two
 * seconds of the wire's.
 */
export type Webhook = {
  readonly id: number;
  readonly destination: string;
  readonly settings: readonly WebhookSetting[];
  readonly createdAt: number;
  readonly updatedAt: number;
  readonly isDisabled: boolean;
};

/** One attempt, for tests to look at. */
export type Delivery = {
  readonly destination: string;
  /** The form. */
  readonly body: string;
  /** 1 for the first. */
  readonly attempt: number;
  /** undefined: no answer in time, or none at all. */
  readonly status: number | undefined;
  /** When it left, of the world's clock, milliseconds. */
  readonly atMs: number;
};

const MINUTE = 60_000;
const LADDER_MS = [5 * MINUTE, 15 * MINUTE, 15 * MINUTE, 60 * MINUTE] as const;
const ANSWER_MS_MAX = 2_000;
const BAD_ANSWERS_MAX = 100;
const BAD_ANSWERS_WITHIN_MS = 120 * MINUTE;
const ENTRIES_OF_A_POST_MAX = 50;
const DELIVERIES_KEPT_MAX = 10_000;
/** Published. */
export const WEBHOOKS_MAX = 100;

type State = { hook: Webhook; outbox: WebhookEntry[]; badAtMs: number[]; chain: Promise<void> };

export class Webhooks {
  readonly #core: Core;
  readonly #wire: Clock;
  readonly #subdomain: () => string;
  readonly #hooks = new Map<string, State>();
  readonly #stopping = new AbortController();
  #deliveries: Delivery[] = [];

  constructor(core: Core, wire: Clock, subdomain: () => string) {
    this.#core = core;
    this.#wire = wire;
    this.#subdomain = subdomain;
  }

  list(): Webhook[] {
    return [...this.#hooks.values()].map(({ hook }) => hook);
  }

  get isEmpty(): boolean {
    return this.#hooks.size === 0;
  }

  /** The last ones, oldest first. */
  get deliveries(): readonly Delivery[] {
    return this.#deliveries;
  }

  /** A destination is set once: a second time changes what it is told, and enables it again. */
  set(destination: string, settings: readonly WebhookSetting[]): Webhook {
    const known = this.#hooks.get(destination);
    const at = this.#core.seconds();
    const hook: Webhook = {
      id: known?.hook.id ?? this.#core.nextId('webhook'),
      destination,
      settings: [...new Set(settings)],
      createdAt: known?.hook.createdAt ?? at,
      updatedAt: at,
      isDisabled: false,
    };
    if (known) Object.assign(known, { hook, badAtMs: [] });
    else {
      this.#hooks.set(destination, { hook, outbox: [], badAtMs: [], chain: Promise.resolve() });
    }
    return hook;
  }

  /** Gives whether it was there. */
  remove(destination: string): boolean {
    return this.#hooks.delete(destination);
  }

  tell(entries: readonly WebhookEntry[]): void {
    for (const state of this.#hooks.values()) {
      const { hook, outbox } = state;
      const wanted = entries.filter(({ setting }) => hook.settings.includes(setting));
      if (hook.isDisabled || wanted.length === 0) continue;
      // What else changes in this very turn goes with it.
      if (outbox.length === 0) queueMicrotask(() => this.#flush(state));
      outbox.push(...wanted);
    }
  }

  /** What is under way is broken off, and nothing comes again. */
  stop(): void {
    this.#stopping.abort();
    this.#hooks.clear();
  }

  #flush(state: State): void {
    const entries = state.outbox.splice(0);
    for (let start = 0; start < entries.length; start += ENTRIES_OF_A_POST_MAX) {
      const body = this.#formOf(entries.slice(start, start + ENTRIES_OF_A_POST_MAX));
      this.#enqueue(state, body, 1);
    }
  }

  #formOf(entries: readonly WebhookEntry[]): string {
    const data: Record<string, Record<string, unknown[]>> = {};
    for (const { path, data: entry } of entries) {
      const [entity, action] = path;
      ((data[entity] ??= {})[action] ??= []).push(entry);
    }
    const account = { id: this.#core.accountId, subdomain: this.#subdomain() };
    return toForm({ ...data, account }).toString();
  }

  #enqueue(state: State, body: string, attempt: number): void {
    state.chain = state.chain.then(() => this.#attempt(state, body, attempt));
  }

  /** Never rejects. */
  async #attempt(state: State, body: string, attempt: number): Promise<void> {
    const { destination } = state.hook;
    if (this.#stopping.signal.aborted || state.hook.isDisabled) return;
    if (this.#hooks.get(destination) !== state) return;
    const atMs = this.#core.clock.now();
    const status = await this.#post(destination, body);
    if (this.#stopping.signal.aborted) return;
    this.#deliveries.push({ destination, body, attempt, status, atMs });
    if (this.#deliveries.length > DELIVERIES_KEPT_MAX) this.#deliveries.shift();
    if (status !== undefined && status >= 100 && status <= 299) return;
    this.#countBad(state, atMs);
    const waitMs = LADDER_MS[attempt - 1];
    if (waitMs === undefined || state.hook.isDisabled) return;
    this.#core.clock.after(waitMs, () => this.#enqueue(state, body, attempt + 1));
  }

  #countBad(state: State, atMs: number): void {
    state.badAtMs = state.badAtMs.filter((each) => each > atMs - BAD_ANSWERS_WITHIN_MS);
    state.badAtMs.push(atMs);
    if (state.badAtMs.length <= BAD_ANSWERS_MAX) return;
    state.hook = { ...state.hook, isDisabled: true, updatedAt: this.#core.seconds() };
  }

  async #post(destination: string, body: string): Promise<number | undefined> {
    const late = new AbortController();
    const callOff = this.#wire.after(ANSWER_MS_MAX, () => late.abort());
    try {
      const answer = await fetch(destination, {
        method: 'POST',
        headers: { 'content-type': 'application/x-www-form-urlencoded' },
        body,
        redirect: 'manual',
        signal: AbortSignal.any([late.signal, this.#stopping.signal]),
      });
      await answer.body?.cancel();
      return answer.status;
    } catch {
      return undefined;
    } finally {
      callOff();
    }
  }
}

/** Whether a webhook may go there: this machine alone, lest a test wakes somebody up. */
export function isOnLoopback(destination: string): boolean {
  if (!URL.canParse(destination)) return false;
  const { protocol, hostname } = new URL(destination);
  const isHttp = protocol === 'http:' || protocol === 'https:';
  return isHttp && /^(localhost|127(\.\d+){3}|\[::1\]|.+\.localhost)$/.test(hostname);
}
