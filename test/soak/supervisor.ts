import { fileURLToPath } from 'node:url';
import { startWatchdog } from '../../platform/services/watchdog.ts';
import { spawnRole, type RunningRole } from '../support/spawn-role.ts';
import type { SoakProcess } from './faults/fault.ts';
import type { Link } from './faults/link.ts';

const PROGRAM = fileURLToPath(new URL('./faulty-process.mjs', import.meta.url));
const AGAIN_AFTER_MS = 300;

export type Supervised = SoakProcess & { stop(): Promise<void> };

type What = {
  readonly role: SoakProcess['role'];
  readonly name: string;
  /** With its port: it keeps it over all its lives. */
  readonly environment: Readonly<Record<string, string>>;
  readonly links: { readonly postgres: Link; readonly redis: Link };
  readonly onEnd: (says: string) => void;
};

/** Starts it and starts it again whenever it ends, until it is stopped. */
export async function supervise(what: What): Promise<Supervised> {
  const launch = async (): Promise<RunningRole> => {
    const { role, environment } = what;
    const started = await spawnRole(role, environment, { until: 'nothing', program: PROGRAM });
    // The channel tells it when we are gone, unless a fault has stopped it.
    const watchdog = startWatchdog([{ pid: started.pid, signal: 'TERM' }]);
    void started.exited.then(() => watchdog.dismiss());
    return started;
  };
  let running = await launch();
  let isAlive = true;
  let isOver = false;
  let restarts = 0;
  let again: Promise<void> = Promise.resolve();
  const watch = (one: RunningRole): void => {
    void one.exited.then(({ code, signal }) => {
      isAlive = false;
      if (isOver) return;
      what.onEnd(`${what.name} (process ${one.pid}) ended by ${signal ?? `code ${code}`}`);
      again = restart();
    });
  };
  const restart = async (): Promise<void> => {
    await new Promise((resolve) => setTimeout(resolve, AGAIN_AFTER_MS));
    if (isOver) return;
    running = await launch();
    restarts++;
    isAlive = true;
    watch(running);
  };
  watch(running);
  return {
    role: what.role,
    name: what.name,
    links: what.links,
    get running() {
      return running;
    },
    get isAlive() {
      return isAlive;
    },
    get restarts() {
      return restarts;
    },
    stop: async () => {
      isOver = true;
      await again;
      await running.stop();
    },
  };
}
