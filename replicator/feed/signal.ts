import { MESSAGE_SIGNAL } from '../../domain/change.ts';
import { may, type Permission, type Principal } from '../../domain/permission.ts';
import type { Queries } from '../../platform/postgres.ts';
import { sql } from '../../platform/sql.ts';
import { encodeMessage } from './frame.ts';

/** A signal ready to be sent to the account's sockets whose role has the permission. */
export type Signal = { readonly frame: Buffer; readonly permission: Permission | undefined };

/** A longer one is not a signal: it belongs into a table. */
const SIGNAL_CHARS_MAX = 8 * 1024;

/**
 * What a writer announced under MESSAGE_SIGNAL: `{account_id, kind, permission?, ...}`. Undefined for anything else:
 * any program may write such messages, and a wrong one must not reach a socket.
 */
export function parseSignal(text: string): Signal | undefined {
  if (text.length > SIGNAL_CHARS_MAX) return undefined;
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (typeof value !== 'object' || value === null || !('kind' in value) || typeof value.kind !== 'string') return undefined;
  const { permission, ...fields } = value as { kind: string; permission?: Permission; account_id?: number };
  delete fields.account_id;
  return { frame: encodeMessage({ ...fields, type: 'signal' }), permission };
}

export function mayReceive(signal: Signal, principal: Principal): boolean {
  return signal.permission === undefined || may(principal, signal.permission);
}

/** Even an ephemeral signal is written to Postgres only: it reaches every feed server through the WAL. @throws ClarinError. */
export async function writeTyping(db: Queries, principal: Principal, chatId: number): Promise<void> {
  const payload = {
    account_id: principal.accountId,
    kind: 'typing',
    chat_id: chatId,
    user_id: principal.userId,
    permission: 'chats' satisfies Permission,
  };
  await db.query(sql`select pg_logical_emit_message(true, ${MESSAGE_SIGNAL}, ${JSON.stringify(payload)})`);
}
