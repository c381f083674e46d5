import type { WASocket } from '@whiskeysockets/baileys';
import type { Running } from '../../../platform/lifecycle.ts';
import type { Me } from '../../whatsapp/map-message.ts';
import { createAddressBook } from './addresses.ts';
import type { DeviceContext } from './device-context.ts';
import { startHistory } from './history.ts';
import { startInbox } from './inbox.ts';
import { startPeople } from './people.ts';
import { startPresences } from './presences.ts';
import { startReceipts } from './receipts.ts';
import { startStubs } from './stubs.ts';
import { createTurns } from './turns.ts';

export type Inbound = Running & {
  /** There is something new in the inbox. */
  ring(): void;
  /** Resolves when what is in the inbox was written, or cannot be now. */
  drained(): Promise<void>;
  /** For every new socket, right after it was made: it says by itself when it is logged in, and when it is over. */
  watch(socket: WASocket): void;
};

/**
 * Everything that comes in by a device, for as long as its lease is held, with a socket or without one: what is in the
 * inbox needs none. `me` is undefined until somebody has paired.
 *
 *   stanza, decrypted ──► inbox (by the session) ──► messages, votes ──► history, behind them
 *   stanza, not decrypted ──► inbox (by stubs)
 *   receipt, ack ──► statuses, or parked       events of Baileys ──► people, presences
 */
export function startInbound(
  context: DeviceContext,
  { me }: { readonly me: () => Me | undefined },
): Inbound {
  let open: WASocket | undefined;
  const socket = (): WASocket | undefined => open;
  const turns = createTurns();
  const addresses = createAddressBook(context, socket);
  const people = startPeople({ context, addresses, socket });
  const history = startHistory({ context, addresses, people, turns, socket });
  const inbox = startInbox({
    context,
    me,
    addresses,
    turns,
    onHistory: (row, notification) => history.read(row, notification),
    onGroup: (jid) => people.lookAt(jid),
  });
  const receipts = startReceipts({ context, me, addresses, turns });
  const stubs = startStubs(context, () => inbox.ring());
  const presences = startPresences(context);
  return {
    ring: () => inbox.ring(),
    drained: () => inbox.drained(),
    watch: (given) => {
      for (const part of [receipts, stubs, presences, people]) part.watch(given);
      given.ev.on('connection.update', ({ connection }) => {
        if (connection === 'open') {
          open = given;
          history.ring();
        } else if (connection === 'close' && open === given) open = undefined;
      });
    },
    stop: async () => {
      // What is collected is written while there still is somebody to write it.
      await Promise.all([receipts, stubs, presences, people].map((part) => part.stop()));
      await Promise.all([inbox.stop(), history.stop()]);
    },
  };
}
