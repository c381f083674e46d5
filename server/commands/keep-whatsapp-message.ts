import type { Queries } from '../../platform/postgres.ts';
import type { SecretBox } from '../../platform/secret-box.ts';
import { sql } from '../../platform/sql.ts';

type Owner = { readonly accountId: number; readonly deviceId: number };

type Kept = Owner & {
  readonly messageId: string;
  readonly isFromMe: boolean;
  /** Why: ours when somebody asks for it again, a poll for its votes, what could not be read for whoever will read it. */
  readonly purpose: 'sent' | 'poll' | 'unknown';
  /** An encoded Message. */
  readonly message: Uint8Array;
  readonly daysMax: number;
};

/** Keeps a message as WhatsApp has it, sealed. One that is kept already stays as it is. */
export async function keepWhatsappMessage(tx: Queries, box: SecretBox, kept: Kept): Promise<void> {
  const { accountId, deviceId, messageId, isFromMe, purpose, message, daysMax } = kept;
  await tx.query(sql`
    insert into private.whatsapp_messages (
      device_id, account_id, message_id, is_from_me, purpose, message, expires_at
    )
    values (
      ${deviceId}, ${accountId}, ${messageId}, ${isFromMe}, ${purpose},
      ${box.sealBytes(message, placeOf(deviceId, messageId))}, now() + make_interval(days => ${daysMax})
    )
    on conflict (device_id, message_id, is_from_me) do nothing`);
}

/** Those with this stanza id, whoever wrote them. */
export async function readWhatsappMessages(
  db: Queries,
  box: SecretBox,
  { accountId, deviceId, messageId }: Owner & { readonly messageId: string },
): Promise<{ message: Buffer; isFromMe: boolean }[]> {
  const rows = await db.query(sql`
    select encode(message, 'hex') as message, is_from_me
    from private.whatsapp_messages
    where account_id = ${accountId} and device_id = ${deviceId} and message_id = ${messageId}`);
  return rows.map((row) => ({
    message: box.openBytes(Buffer.from(row['message'] ?? '', 'hex'), placeOf(deviceId, messageId)),
    isFromMe: row['is_from_me'] === 't',
  }));
}

function placeOf(deviceId: number, messageId: string): string {
  return `whatsapp_messages/${deviceId}/${messageId}`;
}
