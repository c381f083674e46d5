import { parseTemplate, renderTemplate } from '../../domain/template.ts';
import type { Queries } from '../../platform/postgres.ts';
import { sql } from '../../platform/sql.ts';
import { noteOfOutgoing } from '../../platform/whatsapp-notes.ts';
import { translateError } from '../../platform/sqlstate.ts';
import type { Campaign, ContactRefusal } from './campaign.ts';
import { openChat } from './open-chat.ts';
import { sentAs } from './send-media.ts';

/**
 * How the client_ids of campaigns begin. Nobody else may choose one: who has sent a recipient's message once is not
 * written to again.
 */
export const CAMPAIGN_CLIENT = 'campaign:';

/** Somebody whose turn it is. */
export type Recipient = {
  readonly id: number;
  readonly contactId: number;
  readonly refusal: ContactRefusal | undefined;
  /** For the template, by name. */
  readonly values: Readonly<Record<string, unknown>>;
};

type File = {
  readonly id: number;
  readonly type: string;
  readonly shown: Readonly<Record<string, unknown>>;
};

type Message =
  | { readonly body: string; readonly file: File | undefined }
  /** The recipient cannot be written to. */
  | { readonly skippedBecause: string }
  /** Nobody can. */
  | { readonly pausedBecause: string };

type To = {
  readonly accountId: number;
  readonly campaign: Campaign;
  readonly recipient: Recipient;
};

/** What is sent to this recipient, as far as it can be. */
export async function compose(
  tx: Queries,
  { accountId, campaign, recipient }: To,
): Promise<Message> {
  const parsed = parseTemplate(campaign.template);
  if (!parsed.ok) return { pausedBecause: `Its template ${parsed.says}.` };
  const { text, missing, isTooLong } = renderTemplate(parsed.template, recipient.values);
  if (missing.length > 0)
    return { skippedBecause: `There is no ${missing.join(', ')} of this contact.` };
  if (isTooLong) return { skippedBecause: 'The text would be too long.' };
  if (campaign.mediaId === undefined) return { body: text, file: undefined };
  const file = await readFile(tx, accountId, campaign.mediaId);
  return file ? { body: text, file } : { pausedBecause: 'Its file is not stored.' };
}

async function readFile(tx: Queries, accountId: number, id: number): Promise<File | undefined> {
  const [row] = await tx.query(sql`
    select mimetype, filename, size, state
    from public.media
    where account_id = ${accountId} and id = ${id} and state = 'stored'`);
  if (!row) return undefined;
  const { mimetype, filename, size, state } = row;
  return {
    id,
    type: sentAs(mimetype ?? ''),
    shown: { mimetype, ...(filename ? { filename } : {}), size: Number(size), state },
  };
}

/**
 * Writes the message into the outbox and says so in the recipient's row; nothing of it stays when that is refused, and
 * the sentence says why. @throws ClarinError timeout, unavailable, internal.
 */
export async function sendTo(
  tx: Queries,
  to: To & { readonly deviceId: number; readonly now: number },
  message: Extract<Message, { body: string }>,
): Promise<string | undefined> {
  await tx.query(sql`savepoint before_message`);
  try {
    const refusal = await write(tx, to, message);
    if (refusal === undefined) return undefined;
    await tx.query(sql`rollback to savepoint before_message`);
    return refusal;
  } catch (error) {
    const { code } = translateError(error);
    // What no repetition will change must not keep everybody else waiting.
    if (!['unprocessable', 'conflict', 'not_found'].includes(code)) throw error;
    await tx.query(sql`rollback to savepoint before_message`);
    return 'The message could not be written.';
  }
}

async function write(
  tx: Queries,
  to: To & { readonly deviceId: number; readonly now: number },
  { body, file }: Extract<Message, { body: string }>,
): Promise<string | undefined> {
  const { accountId, campaign, recipient, deviceId, now } = to;
  const chat = await openChat(tx, { accountId, deviceId, contactId: recipient.contactId });
  const refusal = await chatRefusal(tx, to, chat.id);
  if (refusal !== undefined) return refusal;
  const clientId = `${CAMPAIGN_CLIENT}${campaign.id}:${recipient.id}`;
  await tx.query(sql`
    insert into public.messages (
      account_id, chat_id, device_id, message_type, body, media, media_id, is_from_me, status, client_id, actor_id
    )
    values (
      ${accountId}, ${chat.id}, ${deviceId}, ${file?.type ?? 'text'}, ${body},
      ${file ? JSON.stringify(file.shown) : null}::jsonb, ${file?.id ?? null}, true, 'pending', ${clientId},
      ${campaign.createdBy ?? null}
    )
    on conflict (account_id, client_id) do nothing
    returning ${noteOfOutgoing}`);
  // A message that is there already (somebody set its recipient back) may be further by now.
  const claimed = await tx.query(sql`
    update public.campaign_recipients as recipient
    set status = case
        when message.status in ('pending', 'sending') then 'claimed'
        when message.status = 'played' then 'read'
        else message.status
      end,
      error = message.error, chat_id = message.chat_id, message_id = message.id,
      claimed_at = ${new Date(now).toISOString()}::timestamptz
    from public.messages as message
    where recipient.account_id = ${accountId} and recipient.id = ${recipient.id}
      and message.account_id = ${accountId} and message.client_id = ${clientId}
    returning recipient.id`);
  return claimed.length > 0 ? undefined : 'The message could not be written.';
}

/** The chat may be with another contact of the same number. */
async function chatRefusal(
  tx: Queries,
  { accountId, campaign, recipient }: To,
  chatId: number,
): Promise<string | undefined> {
  const [row] = await tx.query(sql`
    select contact.do_not_contact, exists (
      select from public.campaign_recipients as other
      where other.account_id = ${accountId} and other.campaign_id = ${campaign.id} and other.chat_id = chat.id
        and other.id <> ${recipient.id}
    ) as is_twin
    from public.chats as chat
    join public.contacts as contact on contact.account_id = chat.account_id and contact.id = chat.contact_id
    where chat.account_id = ${accountId} and chat.id = ${chatId}`);
  if (row?.['is_twin'] === 't') return 'Another contact of this campaign has the same number.';
  if (row?.['do_not_contact'] === 't') return 'The contact does not want to be contacted.';
  return undefined;
}
