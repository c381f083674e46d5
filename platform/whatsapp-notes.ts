import type { Queries } from './postgres.ts';
import { sql, type Sql } from './sql.ts';

/** What the workers of devices listen to. A note that is lost costs as long as it takes until they look by themselves. */
export const WHATSAPP_CHANNEL = 'clarin_whatsapp';

export type WhatsappNote =
  /** What is wanted of a device, or its pairing, or what it receives, was changed by people. */
  | { readonly kind: 'changed'; readonly deviceId: number }
  /** A message waits to be sent. */
  | { readonly kind: 'outbox'; readonly deviceId: number }
  /** There is another version of the client to try. */
  | { readonly kind: 'version' };

/** Told when the transaction commits; writes nothing. https://www.postgresql.org/docs/current/sql-notify.html */
export async function notifyWhatsapp(
  tx: Queries,
  note: Exclude<WhatsappNote, { kind: 'outbox' }>,
): Promise<void> {
  const text = note.kind === 'version' ? note.kind : `${note.kind} ${note.deviceId}`;
  await tx.query(sql`select pg_notify(${WHATSAPP_CHANNEL}, ${text})`);
}

/** What a statement returns that writes messages to be sent: their devices are told, each once, when it commits. */
export const noteOfOutgoing: Sql = sql`pg_notify(${WHATSAPP_CHANNEL}, 'outbox ' || messages.device_id) as told`;

/** Undefined for what none of ours wrote. */
export function parseWhatsappNote(payload: string): WhatsappNote | undefined {
  const [kind, text = ''] = payload.split(' ');
  if (kind === 'version') return { kind };
  if ((kind !== 'changed' && kind !== 'outbox') || !/^[1-9]\d{0,15}$/.test(text)) return undefined;
  return { kind, deviceId: Number(text) };
}
