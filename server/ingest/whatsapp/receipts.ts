import type { WASocket } from '@whiskeysockets/baileys';
import type { Queries } from '../../../platform/postgres.ts';
import { parkReceipts, type ParkedReceipt } from '../../commands/park-receipts.ts';
import { readElsewhere } from '../../commands/read-elsewhere.ts';
import { updateMessageStatus } from '../../commands/update-message-status.ts';
import { mapReceipt, mapServerAck, type Node, type Receipt } from '../../whatsapp/map-receipt.ts';
import type { Me } from '../../whatsapp/map-message.ts';
import { pairOf } from '../../whatsapp/read-values.ts';
import type { AddressBook } from './addresses.ts';
import { createCollector, type Collector } from './collector.ts';
import { write, type DeviceContext } from './device-context.ts';
import { MESSAGES } from './inbox.ts';
import type { Turns } from './turns.ts';

type Means = {
  readonly context: DeviceContext;
  readonly me: () => Me | undefined;
  readonly addresses: AddressBook;
  readonly turns: Turns;
};

export type Receipts = Collector<Receipt> & { watch(socket: WASocket): void };

/** Together in one statement: a chat that is opened on the other side is tens of receipts at once. */
const DELAY_MS = 50;
const BATCH = 500;
const WAITING_MAX = 20_000;

/**
 * How far messages are, from the stanzas themselves: what Baileys makes of them is held back while it catches up, and
 * does not say that the server has a message. A receipt that overtakes its message is kept until that comes.
 */
export function startReceipts(means: Means): Receipts {
  const { context } = means;
  const collector = createCollector<Receipt>({
    context,
    what: 'receipts',
    delayMs: DELAY_MS,
    max: WAITING_MAX,
    batch: BATCH,
    write: (receipts) => writeReceipts(means, receipts),
  });
  const hear = (map: (node: Node, world: { me: Me; nowMs: number }) => Receipt | undefined) => {
    return (node: Node): void => {
      const me = means.me();
      const receipt = me && map(node, { me, nowMs: context.clock.now() });
      if (receipt) collector.add([receipt]);
    };
  };
  return {
    ...collector,
    watch: (socket) => {
      // Before Baileys' own, which may hold the stanza back.
      socket.ws.prependListener('CB:receipt', hear(mapReceipt));
      socket.ws.prependListener('CB:ack,class:message', hear(mapServerAck));
    },
  };
}

async function writeReceipts(means: Means, given: readonly Receipt[]): Promise<void> {
  const { context, addresses, turns } = means;
  const receipts: Receipt[] = [];
  for (const receipt of given) {
    const chat = await addresses.complete(receipt.chat);
    const pair = pairOf(chat);
    if (pair) await addresses.link(pair);
    receipts.push({ ...receipt, chat });
  }
  // In turn with messages: one that is being written does not miss the receipt that is put by for it.
  await turns(MESSAGES, () => write(context, (tx) => moveMessages(tx, context, receipts)));
}

async function moveMessages(
  tx: Queries,
  owner: { accountId: number; deviceId: number },
  receipts: readonly Receipt[],
): Promise<void> {
  const reports = receipts.flatMap(({ chat, messageIds, status, isOurs, at }) =>
    messageIds.map((messageId) => ({ ...chat, messageId, status, isOurs, at })),
  );
  const { accountId, deviceId } = owner;
  const { unknown } = await updateMessageStatus(tx, { accountId, deviceId, reports });
  const unmatched = new Set<unknown>(unknown);
  const parked: ParkedReceipt[] = reports.filter((report) => unmatched.has(report));
  await parkReceipts(tx, { accountId, deviceId, receipts: parked });
  for (const { chat, messageIds, isOurs } of receipts) {
    if (isOurs) await readElsewhere(tx, { accountId, deviceId, ...chat, messageIds });
  }
}
