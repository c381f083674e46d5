import { readFileSync } from 'node:fs';
import type { Tally } from './tally.ts';
import type { OwnWorld } from './world.ts';

/** Resident memory of every process and of Redis, once a second, the peaks of it. Linux only; elsewhere Redis alone. */
export function sampleMemory(world: OwnWorld, tally: Tally): () => void {
  const sample = async (): Promise<void> => {
    for (const { name, running } of world.processes) {
      const bytes = rssOf(running.pid);
      if (bytes !== undefined) tally.note(`peak memory of ${name}, MB`, bytes / MB);
    }
    const info = String(await world.redisCommand('info', 'memory').catch(() => ''));
    const used = /^used_memory_rss:(\d+)/m.exec(info)?.[1];
    if (used !== undefined) tally.note('peak memory of Redis, MB', Number(used) / MB);
  };
  const timer = setInterval(() => void sample(), 1_000);
  return () => clearInterval(timer);
}

const MB = 1024 * 1024;

function rssOf(pid: number): number | undefined {
  try {
    const kilobytes = /^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
    return kilobytes === undefined ? undefined : Number(kilobytes) * 1024;
  } catch {
    return undefined;
  }
}
