import type { Queries } from '../../platform/postgres.ts';
import { sql } from '../../platform/sql.ts';

/** A file to be fetched. */
export type ClaimedDownload = {
  readonly mediaId: number;
  /** Sealed for `downloadPlace`: an encoded WebMessageInfo. */
  readonly message: Buffer;
  /** How often it was claimed, this time included. */
  readonly attempts: number;
  /** Since it is to be fetched. */
  readonly ageMs: number;
  readonly objectKey: string;
  /** As the message said. */
  readonly mimetype: string;
  readonly size: number;
  /** Bytes of all stored files of the account; undefined: not asked for. */
  readonly accountBytes: number | undefined;
};

type Options = {
  readonly accountId: number;
  readonly deviceId: number;
  readonly max: number;
  /** Files that are being fetched: they are not claimed. */
  readonly busy: readonly number[];
  readonly isCounted: boolean;
};

/** A claim that nothing is heard of is over: longer than any fetching lasts. */
const CLAIM_MINUTES = 20;

/**
 * Files that are to be fetched now, the newest first: whoever looks into a conversation looks at its end. Each is not
 * claimed again for some time, so that one whose worker dies is fetched by the next. What is no longer wanted goes.
 */
export async function claimDownloads(
  tx: Queries,
  { accountId, deviceId, max, busy, isCounted }: Options,
): Promise<ClaimedDownload[]> {
  await tx.query(sql`
    delete from private.whatsapp_downloads as download
    using public.media as file
    where download.account_id = ${accountId} and download.device_id = ${deviceId}
      and file.account_id = ${accountId} and file.id = download.media_id and file.state <> 'pending'`);
  const rows = await tx.query(sql`
    with due as materialized (
      select media_id
      from private.whatsapp_downloads
      where account_id = ${accountId} and device_id = ${deviceId} and next_at <= clock_timestamp()
        and media_id <> all(${[...busy]}::bigint[])
      order by media_id desc
      limit ${max}
    ), claimed as (
      update private.whatsapp_downloads as download
      set attempts = least(attempts + 1, 32767), error = null,
        next_at = clock_timestamp() + make_interval(mins => ${CLAIM_MINUTES})
      from due
      where download.media_id = due.media_id
      returning download.media_id, download.message, download.attempts, download.created_at
    )
    select claimed.media_id, encode(claimed.message, 'hex') as message, claimed.attempts,
      extract(epoch from clock_timestamp() - claimed.created_at) * 1000 as age_ms,
      file.object_key, file.mimetype, file.size, stored.bytes
    from claimed
    join public.media as file on file.account_id = ${accountId} and file.id = claimed.media_id
    left join lateral (
      select coalesce(sum(size), 0) as bytes
      from public.media
      where ${isCounted} and account_id = ${accountId} and state = 'stored'
    ) as stored on ${isCounted}
    order by claimed.media_id desc`);
  return rows.map((row) => ({
    mediaId: Number(row['media_id']),
    message: Buffer.from(row['message'] ?? '', 'hex'),
    attempts: Number(row['attempts']),
    ageMs: Number(row['age_ms']),
    objectKey: row['object_key'] ?? '',
    mimetype: row['mimetype'] ?? '',
    size: Number(row['size']),
    accountBytes: row['bytes'] ? Number(row['bytes']) : undefined,
  }));
}

/** For a new connection: what was being fetched when the one before ended is due at once, and was no attempt. */
export async function recoverDownloads(
  tx: Queries,
  { accountId, deviceId }: Pick<Options, 'accountId' | 'deviceId'>,
): Promise<void> {
  await tx.query(sql`
    update private.whatsapp_downloads
    set next_at = clock_timestamp(), attempts = greatest(attempts - 1, 0)
    where account_id = ${accountId} and device_id = ${deviceId} and error is null and next_at > clock_timestamp()`);
}
