import { eventually } from '../../support/services.ts';
import type { RunningRole } from '../../support/spawn-role.ts';
import type { Stack } from './stack.ts';

/** Gateways of a stack, each on a port of its own for as long as the test lasts. */
export type Gateways = {
  readonly running: readonly RunningRole[];
  /** Another one at every call, in turn: a client that comes back comes back elsewhere. */
  readonly next: () => string;
  /** kill -9, and the same one again. */
  restart(index: number): Promise<void>;
  /** Until all of them are ready. */
  untilReady(): Promise<void>;
  /** 200, 503, or 0 for one that does not answer. */
  readiness(index: number): Promise<number>;
  untilReadiness(index: number, status: number): Promise<void>;
  /** Sum over all of a counter, of those that run now. */
  sum(name: string): Promise<number>;
};

export async function startGateways(
  stack: Stack,
  count: number,
  more: Record<string, string> = {},
): Promise<Gateways> {
  const spawn = (own: Record<string, string> = {}): Promise<RunningRole> =>
    stack.spawn('gateway', { ...more, ...own });
  const running = await Promise.all(Array.from({ length: count }, () => spawn()));
  let turn = 0;
  const at = (index: number): RunningRole => {
    const role = running[index % running.length];
    if (!role) throw new Error('there are no gateways');
    return role;
  };
  const readiness = async (index: number): Promise<number> => {
    const answer = await fetch(`${at(index).url}/health/ready`, {
      signal: AbortSignal.timeout(1_000),
    }).catch(() => undefined);
    return answer?.status ?? 0;
  };
  return {
    running,
    next: () => at(turn++).url,
    restart: async (index) => {
      const role = at(index);
      role.kill('SIGKILL');
      await role.exited;
      running[index] = await spawn({ GATEWAY_PORT: String(role.port) });
    },
    untilReady: async () => {
      await Promise.all(running.map((role) => role.waitUntil('ready')));
    },
    readiness,
    untilReadiness: async (index, status) => {
      await eventually(async () => (await readiness(index)) === status, {
        timeoutMs: 40_000,
        says: `gateway ${index} answers ${status}`,
      });
    },
    sum: async (name) => {
      const texts = await Promise.all(
        running.map(async (role) => (await fetch(`${role.url}/metrics`)).text()),
      );
      return texts.reduce((sum, text) => {
        const value = new RegExp(`^${name}(?:\\{[^}]*\\})? (\\d+)`, 'm').exec(text)?.[1];
        return sum + Number(value ?? 0);
      }, 0);
    },
  };
}
