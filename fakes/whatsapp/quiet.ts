import type { UserFacingSocketConfig } from '@whiskeysockets/baileys';

type Logger = NonNullable<UserFacingSocketConfig['logger']>;

const METHODS = ['log', 'info', 'warn', 'error'] as const;
let isQuiet = false;

/**
 * libsignal 6.0.0 prints sessions with their private keys to the console. What comes from there is dropped from now on, in
 * this whole process; everything else that is printed stays.
 */
export function quietLibsignal(): void {
  if (isQuiet) return;
  isQuiet = true;
  for (const method of METHODS) {
    const print = globalThis.console[method];
    globalThis.console[method] = (...said: unknown[]): void => {
      if (new Error('who prints').stack?.includes('/libsignal/') === true) return;
      print(...said);
    };
  }
}

const nothing = (): void => undefined;

/** For those parts of Baileys that the fake uses. */
export const silent: Logger = {
  level: 'silent',
  child: () => silent,
  trace: nothing,
  debug: nothing,
  info: nothing,
  warn: nothing,
  error: nothing,
};
