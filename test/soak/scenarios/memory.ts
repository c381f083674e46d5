import { readFileSync } from 'node:fs';

/** Resident memory of a process, MiB. https://man7.org/linux/man-pages/man5/proc_pid_status.5.html */
export function residentMbOf(pid: number): number {
  const [, kilobytes = '0'] =
    /^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1')) ?? [];
  return Number(kilobytes) / 1_024;
}

/** Looks at processes ten times a second and keeps the most it saw. */
export class MemoryWatch {
  readonly #pids: Readonly<Record<string, number>>;
  readonly #most = new Map<string, number>();
  readonly #timer: NodeJS.Timeout;

  constructor(pids: Readonly<Record<string, number>>) {
    this.#pids = pids;
    this.#look();
    this.#timer = setInterval(() => this.#look(), 100);
  }

  #look(): void {
    for (const [name, pid] of Object.entries(this.#pids))
      this.#most.set(name, Math.max(this.mostMb(name), residentMbOf(pid)));
  }

  mostMb(name: string): number {
    return this.#most.get(name) ?? 0;
  }

  stop(): void {
    clearInterval(this.#timer);
  }
}

/** The value below which `share` of all lie; 0 of none. */
export function percentile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((left, right) => left - right);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0;
}
