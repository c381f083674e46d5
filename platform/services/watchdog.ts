import { spawn } from 'node:child_process';

export type Watchdog = { dismiss(): void };

type Watched = { readonly pid: number; readonly signal: 'INT' | 'TERM' };

/**
 * Ends services when this process dies without having stopped them, kill -9 included. A shell waits
 * for one line on its standard input; the end of that pipe without the line means that we are gone.
 * It is a session of its own, so that Ctrl-C does not end it first.
 */
export function startWatchdog(watched: readonly Watched[]): Watchdog {
  // One that was stopped hears of nothing before it goes on.
  const kills = watched
    .map(({ pid, signal }) => `kill -s ${signal} ${pid}; kill -s CONT ${pid}`)
    .join('; ');
  const child = spawn('/bin/sh', ['-c', `read word; [ "$word" = stopped ] || { ${kills}; }`], {
    cwd: '/',
    detached: true,
    stdio: ['pipe', 'ignore', 'ignore'],
  });
  child.on('error', () => undefined);
  child.stdin.on('error', () => undefined);
  child.unref();
  if ('unref' in child.stdin && typeof child.stdin.unref === 'function') child.stdin.unref();
  return { dismiss: () => void child.stdin.end('stopped\n') };
}
