import type { Queries } from '../../platform/postgres.ts';
import { sql } from '../../platform/sql.ts';
import { createAccounts } from './accounts.ts';
import { loadConversations } from './conversations.ts';
import { DRAWING } from './draw.ts';
import { loadPeople } from './people.ts';
import { proveConversations } from './proof.ts';
import { loadSalesTools } from './sales-tools.ts';

/** How many there are in all. */
export type Volume = {
  readonly accounts: number;
  readonly contacts: number;
  readonly leads: number;
  readonly chats: number;
  readonly messages: number;
  readonly interactions: number;
  readonly recipients: number;
};

export function volumeOf(scale: number): Volume {
  const count = (atFullScale: number): number => Math.round(atFullScale * scale);
  return {
    accounts: 50,
    contacts: count(200_000),
    leads: count(200_000),
    chats: count(120_000),
    messages: count(2_000_000),
    interactions: count(100_000),
    recipients: count(50_000),
  };
}

export type LoadOptions = { readonly seed: number; readonly volume: Volume };

/** Accounts of very different size, the first one about a third of everything. */
export async function loadData(
  db: Queries,
  options: LoadOptions & { say: (line: string) => void },
): Promise<void> {
  const { say } = options;
  await db.query(DRAWING);
  say('accounts, users, devices, tags');
  await createAccounts(db, options);
  say(`${options.volume.contacts} contacts, ${options.volume.leads} leads`);
  await loadPeople(db, options);
  say(`${options.volume.chats} chats, ${options.volume.messages} messages`);
  await loadConversations(db, options);
  await loadSalesTools(db, options);
  say('comparing with what the triggers would have made');
  await proveConversations(db);
  // As autovacuum would have done it by now: sets the visibility map that index-only scans want.
  await db.query(sql`vacuum analyze`);
}
