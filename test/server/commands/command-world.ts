import type { Queries, TextRow } from '../../../platform/postgres.ts';
import { sql, type Sql } from '../../../platform/sql.ts';
import { receiveMessage, type Received } from '../../../server/commands/receive-message.ts';
import {
  openConversationWorld,
  type ConversationWorld,
} from '../../migrations/conversation-world.ts';

type ReceiveOptions = Parameters<typeof receiveMessage>[1];
export type Delivered = Partial<ReceiveOptions> & Pick<ReceiveOptions, 'jid'>;

/** A conversation world whose commands run as those of a worker: one transaction each, and no more rights than that. */
export type CommandWorld = ConversationWorld & {
  readonly accountId: number;
  readonly deviceId: number;
  /** In a transaction of its own. */
  run<T>(command: (tx: Queries) => Promise<T>): Promise<T>;
  /** The same, and how many statements it took. */
  counted<T>(command: (tx: Queries) => Promise<T>): Promise<{ value: T; statements: number }>;
  /** A text from them, sent now, with a stanza of its own, where nothing else is said. */
  receive(delivered: Delivered): Promise<Received>;
  options(delivered: Delivered): ReceiveOptions;
  all(statement: Sql): Promise<TextRow[]>;
  /** A mobile of Peru that nobody has yet, digits, and the JID WhatsApp has for it. */
  newNumber(): { phone: string; jid: string };
  leadsOf(contactId: number): Promise<TextRow[]>;
};

export async function openCommandWorld(): Promise<CommandWorld> {
  const world = await openConversationWorld();
  const { accountId, deviceIds } = world.ours;
  const [deviceId = 0] = deviceIds;
  let stanzas = 0;
  let numbers = 0;
  const run = async <T>(command: (tx: Queries) => Promise<T>): Promise<T> =>
    (
      await world.db.transaction(async (tx) => {
        await tx.query(sql`set local role clarin_ingest`);
        return command(tx);
      })
    ).value;
  const options = (delivered: Delivered): ReceiveOptions => ({
    accountId,
    deviceId,
    messageId: `M${++stanzas}`,
    sentAt: new Date().toISOString(),
    isFromMe: false,
    content: { kind: 'text', text: 'Hello' },
    ...delivered,
  });
  return {
    ...world,
    accountId,
    deviceId,
    run,
    counted: async (command) => {
      let statements = 0;
      const value = await run((tx) =>
        command({ query: (statement) => (statements++, tx.query(statement)) }),
      );
      return { value, statements };
    },
    options,
    receive: (delivered) => run((tx) => receiveMessage(tx, options(delivered))),
    all: (statement) => world.db.query(statement),
    newNumber: () => {
      const phone = `519${String(60_000_000 + ++numbers)}`;
      return { phone, jid: `${phone}@s.whatsapp.net` };
    },
    leadsOf: (contactId) =>
      world.db.query(sql`
        select id, title, stage_id, source from public.leads
        where account_id = ${accountId} and contact_id = ${contactId}`),
  };
}
