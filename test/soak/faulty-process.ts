import { writeSync } from 'node:fs';
import { findRole } from '../../bin/roles.ts';
import { readConfig } from '../../platform/config.ts';
import { runUntilStopped } from '../../platform/lifecycle.ts';
import { createLog } from '../../platform/log.ts';
import { startReplicator } from '../../replicator/main.ts';
import type { Point } from '../../replicator/seams.ts';
import { CARRIED_OUT, type Order } from './faults/orders.ts';

/** A role as bin/clarin.ts runs it, with a hand on its clock and, in a replicator, on its points. */
const [name = ''] = process.argv.slice(2);

const RightDate = Date;
let shiftMs = 0;
let atPoint: (Order & { order: 'at point' }) | undefined;
let passed = 0;

class ShiftedDate extends RightDate {
  constructor(...given: unknown[]) {
    super(...((given.length === 0 ? [RightDate.now() + shiftMs] : given) as [number]));
  }
  static override now(): number {
    return RightDate.now() + shiftMs;
  }
}

/** At once, whatever becomes of the process afterwards: not by way of the log. */
function say(what: object): void {
  writeSync(1, `${JSON.stringify({ message: CARRIED_OUT, at: RightDate.now(), ...what })}\n`);
}

function carryOut(order: Order): void {
  switch (order.order) {
    case 'at point':
      atPoint = order;
      passed = 0;
      return;
    case 'clock':
      shiftMs = order.shiftMs;
      // Only now: until its clock goes wrong a process has the one of everybody.
      globalThis.Date = ShiftedDate as DateConstructor;
      return say({ shiftMs });
    default:
      return order satisfies never;
  }
}

function at(point: Point): void {
  if (point !== atPoint?.point || ++passed < atPoint.nth) return;
  const { does } = atPoint;
  atPoint = undefined;
  say({ point, does });
  process.kill(process.pid, does === 'crash' ? 'SIGKILL' : 'SIGSTOP');
}

process.on('message', (order) => carryOut(order as Order));
process.once('disconnect', () => process.kill(process.pid, 'SIGTERM'));
process.channel?.unref();

if (name === 'replicator') {
  const config = readConfig(process.env, {
    redis: true,
    secret: true,
    media: false,
    encryption: false,
  });
  const log = createLog({ component: 'replicator', level: config.logLevel });
  await runUntilStopped(log, (signal) => startReplicator(config, log, signal, { seams: { at } }));
}
const role = findRole(name);
if (!role) throw new Error(`no role ${name}`);
process.exit(await role.run([]));
