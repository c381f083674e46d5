import type { WhatsAppConfig } from '../../../platform/config.ts';
import type { Running } from '../../../platform/lifecycle.ts';
import type { DeviceContext, Linked } from './device-context.ts';
import { startOutbox } from './outbox.ts';

/** What needs a socket that is logged in. `ring`: there may be something to send. */
export type Work = Running & { ring(): void };

/** Begins it, for as long as this socket is logged in. */
export function startWork(
  context: DeviceContext,
  linked: Linked,
  { newChatsPerDay, sendIntervalMs }: WhatsAppConfig,
): Work {
  const pace = { gapMs: sendIntervalMs, jitterMs: sendIntervalMs };
  return startOutbox(context, linked, { newChatsPerDay, pace });
}
