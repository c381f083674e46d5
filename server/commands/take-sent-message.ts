import type { Queries } from '../../platform/postgres.ts';
import type { SecretBox } from '../../platform/secret-box.ts';
import { sql } from '../../platform/sql.ts';
import { readWhatsappMessages } from './keep-whatsapp-message.ts';

type Wanted = { readonly accountId: number; readonly deviceId: number; readonly messageId: string };

/** Who could not read it after so many times will not. */
const RETRIES_MAX = 5;
/** Older ones were asked for by phones that had been away for long: people got them a second time. */
const DAYS_MAX = 14;

/**
 * A message of ours, encoded, because somebody could not decrypt it; counts how often. Undefined: it is not kept, too old,
 * or was asked for too often.
 */
export async function takeSentMessage(
  tx: Queries,
  box: SecretBox,
  wanted: Wanted,
): Promise<Buffer | undefined> {
  const { accountId, deviceId, messageId } = wanted;
  const rows = await tx.query(sql`
    update private.whatsapp_messages
    set retries = retries + (purpose = 'sent')::int
    where account_id = ${accountId} and device_id = ${deviceId} and message_id = ${messageId} and is_from_me
      and (retries < ${RETRIES_MAX} or purpose = 'poll') and created_at > now() - make_interval(days => ${DAYS_MAX})
    returning message_id`);
  if (rows.length === 0) return undefined;
  const kept = await readWhatsappMessages(tx, box, wanted);
  return kept.find(({ isFromMe }) => isFromMe)?.message;
}
