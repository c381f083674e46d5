import asyncHooks, { AsyncLocalStorage as Own } from 'node:async_hooks';
import { syncBuiltinESMExports } from 'node:module';

/**
 * Up to Node 22 every AsyncLocalStorage that was ever run is copied into every promise of the process, and none is ever
 * forgotten (`_propagate` in lib/async_hooks.js). Baileys makes one for each socket: with 200 devices every `await`
 * would pay for 200 of them, after a day of reconnecting for thousands. Here all share one, whose store says what each
 * of them holds: what is not running costs nothing.
 *
 * For the ingest process, before the first socket. Node 24 keeps one context itself:
 * https://nodejs.org/en/blog/release/v24.0.0 (AsyncContextFrame); then this file can go.
 */
export function shareAsyncStorage(): void {
  asyncHooks.AsyncLocalStorage = SharedStorage as unknown as typeof Own;
  syncBuiltinESMExports();
}

type Stores = ReadonlyMap<object, unknown>;
const shared = new Own<Stores>();

export class SharedStorage<T> {
  static bind<Work extends (...args: never[]) => unknown>(work: Work): Work {
    return Own.bind(work);
  }

  static snapshot(): <R, A extends unknown[]>(work: (...args: A) => R, ...args: A) => R {
    return Own.snapshot();
  }

  getStore(): T | undefined {
    return shared.getStore()?.get(this) as T | undefined;
  }

  run<R, A extends unknown[]>(store: T, work: (...args: A) => R, ...args: A): R {
    return shared.run(this.#with(store), work, ...args);
  }

  exit<R, A extends unknown[]>(work: (...args: A) => R, ...args: A): R {
    return shared.run(this.#with(undefined), work, ...args);
  }

  enterWith(store: T): void {
    shared.enterWith(this.#with(store));
  }

  disable(): void {
    shared.enterWith(this.#with(undefined));
  }

  #with(store: T | undefined): Stores {
    const stores = new Map(shared.getStore());
    if (store === undefined) stores.delete(this);
    else stores.set(this, store);
    return stores;
  }
}
