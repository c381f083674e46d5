import type { Account } from './stand.ts';

/** What the process with the slow sockets is told, and what it says. */
export type CrowdOrder =
  | {
      readonly kind: 'connect';
      readonly url: string;
      readonly account: Account;
      readonly stalled: number;
      readonly slow: number;
    }
  /** From here on every socket takes what it is sent. */
  | { readonly kind: 'wake' }
  /** Each is compared with this when it holds a row of this name. */
  | {
      readonly kind: 'compare';
      readonly last: string;
      readonly truth: readonly [number, string][];
    };

export type CrowdReport =
  | { readonly kind: 'connected' }
  | {
      readonly kind: 'compared';
      /** How many sockets were closed with each code. */
      readonly closes: Readonly<Record<string, number>>;
      readonly different: number;
      readonly faults: readonly string[];
      /** Told to read again, because the log no longer held what they missed. */
      readonly readAgain: number;
    };
