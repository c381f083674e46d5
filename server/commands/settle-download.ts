import type { Queries } from '../../platform/postgres.ts';
import { sql } from '../../platform/sql.ts';
import { storableText } from './storable-text.ts';

type Which = { readonly accountId: number; readonly mediaId: number };

type StoredFile = Which & {
  readonly size: number;
  readonly sha256: string;
  readonly mimetype: string;
};

const ERROR_MAX = 500;

/**
 * A file was fetched and stored: its row says so, and so do the messages that show it (by a trigger). False: it is not
 * wanted any more, its message was deleted meanwhile; whoever stored it removes it.
 */
export async function storeDownload(
  tx: Queries,
  { accountId, mediaId, size, sha256, mimetype }: StoredFile,
): Promise<boolean> {
  const rows = await tx.query(sql`
    update public.media
    set state = 'stored', size = ${size}, sha256 = ${sha256}, mimetype = ${mimetype}
    where account_id = ${accountId} and id = ${mediaId} and state <> 'stored'
    returning id`);
  await forget(tx, { accountId, mediaId });
  return rows.length > 0;
}

/** It will not be fetched. Why, the messages that would show it say to people, in `media.reason`. */
export async function failDownload(
  tx: Queries,
  { accountId, mediaId, reason }: Which & { readonly reason: string },
): Promise<void> {
  await tx.query(sql`
    update public.messages
    set media = coalesce(media, '{}') || jsonb_build_object('reason', ${reason}::text)
    where account_id = ${accountId} and media_id = ${mediaId}`);
  await tx.query(sql`
    update public.media
    set state = 'failed'
    where account_id = ${accountId} and id = ${mediaId} and state = 'pending'`);
  await forget(tx, { accountId, mediaId });
}

type Delayed = Which & { readonly delayMs: number; readonly error: string };

/** It could not be fetched now. */
export async function delayDownload(
  tx: Queries,
  { accountId, mediaId, delayMs, error }: Delayed,
): Promise<void> {
  await tx.query(sql`
    update private.whatsapp_downloads
    set next_at = clock_timestamp() + make_interval(secs => ${delayMs / 1_000}::float8),
      error = ${storableText(error, ERROR_MAX) ?? null}
    where account_id = ${accountId} and media_id = ${mediaId}`);
}

async function forget(tx: Queries, { accountId, mediaId }: Which): Promise<void> {
  await tx.query(sql`
    delete from private.whatsapp_downloads where account_id = ${accountId} and media_id = ${mediaId}`);
}
