import type { Queries } from '../../platform/postgres.ts';
import { sql } from '../../platform/sql.ts';
import { SEND_REFUSALS } from '../whatsapp/judge-send.ts';
import { ANSWER_SECONDS } from './claim-outgoing.ts';
import { settleOutgoing } from './settle-outgoing.ts';

type Options = {
  readonly accountId: number;
  readonly deviceId: number;
  /** Of the claimed message. */
  readonly id: number;
};

/**
 * A claimed message leaves now, some time after it was claimed: its file had to be uploaded first, or its number asked
 * for. Whether it still may is asked again. From here on WhatsApp's answer is waited for.
 *
 * False: it does not. Its contact does not want to be contacted any more, and it has failed; or it is gone, or settled.
 */
export async function confirmOutgoing(tx: Queries, options: Options): Promise<boolean> {
  const { accountId, deviceId, id } = options;
  const [row] = await tx.query(sql`
    select contact.do_not_contact
    from public.messages as message
    join public.chats as chat on chat.account_id = ${accountId} and chat.id = message.chat_id
    join public.contacts as contact on contact.account_id = ${accountId} and contact.id = chat.contact_id
    where message.account_id = ${accountId} and message.id = ${id} and message.status = 'sending'`);
  if (!row) return false;
  if (row['do_not_contact'] === 't') {
    await settleOutgoing(tx, options, [
      { id, kind: 'failed', reason: SEND_REFUSALS.do_not_contact },
    ]);
    return false;
  }
  const due = await tx.query(sql`
    update private.whatsapp_sends
    set next_at = clock_timestamp() + make_interval(secs => ${ANSWER_SECONDS} * power(2, greatest(attempts - 1, 0)))
    where account_id = ${accountId} and device_id = ${deviceId} and message_id = ${id}
    returning message_id`);
  return due.length > 0;
}
