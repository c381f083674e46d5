import type { WebSocket } from 'ws';
import { eventually } from '../../support/eventually.ts';
import type { CrowdOrder, CrowdReport } from './crowd-orders.ts';
import { countDifferences, Watcher } from './watcher.ts';

/** A slow reader looks up so often, and takes what the socket then gives it at once. */
const SLOW_EVERY_MS = 400;
const CONNECTING_AT_ONCE = 50;

const watchers: Watcher[] = [];
let isAwake = false;

function report(message: CrowdReport): void {
  process.send?.(message);
}

/** Reads nothing at all. */
function stall(socket: WebSocket): void {
  if (!isAwake) socket.pause();
}

function dawdle(socket: WebSocket): void {
  if (isAwake) return;
  socket.pause();
  const timer = setInterval(() => {
    if (isAwake || socket.readyState !== socket.OPEN) clearInterval(timer);
    socket.resume();
    if (!isAwake) setImmediate(() => socket.pause());
  }, SLOW_EVERY_MS);
}

async function connect(order: CrowdOrder & { kind: 'connect' }): Promise<void> {
  const { url, account, stalled, slow } = order;
  const ways = [
    ...Array.from({ length: stalled }, () => stall),
    ...Array.from({ length: slow }, () => dawdle),
  ];
  while (ways.length > 0) {
    const some = ways.splice(0, CONNECTING_AT_ONCE).map((onLive) => {
      const watcher = new Watcher({ url, account, table: 'contacts', onLive });
      watchers.push(watcher);
      return watcher.start();
    });
    await Promise.all(some);
  }
  report({ kind: 'connected' });
}

async function compare({ last, truth }: CrowdOrder & { kind: 'compare' }): Promise<void> {
  let different = 0;
  let readAgain = 0;
  const faults: string[] = [];
  const closes: Record<string, number> = {};
  for (const watcher of watchers) {
    const isDone = (): boolean =>
      watcher.isLive && (watcher.mustRead || [...watcher.rows.values()].includes(last));
    await eventually(isDone, { timeoutMs: 120_000, says: 'a socket has caught up' }).catch(
      (error: unknown) => faults.push(String(error)),
    );
    if (watcher.mustRead) readAgain++;
    else if (countDifferences(truth, floodOf(watcher)) > 0) different++;
    faults.push(...watcher.faults);
    for (const code of new Set(watcher.closes)) closes[code] = (closes[code] ?? 0) + 1;
  }
  report({ kind: 'compared', closes, different, faults: faults.slice(0, 20), readAgain });
}

/** Small rows were there before, and more of them come meanwhile: they are everybody else's. */
function floodOf({ rows }: Watcher): Map<number, string> {
  return new Map([...rows].filter(([, name]) => !name.startsWith('row')));
}

process.on('message', (order: CrowdOrder) => {
  switch (order.kind) {
    case 'connect':
      return void connect(order);
    case 'wake':
      isAwake = true;
      for (const { socket } of watchers) socket?.resume();
      return;
    case 'compare':
      return void compare(order);
    default:
      return order satisfies never;
  }
});
process.on('disconnect', () => process.exit());
