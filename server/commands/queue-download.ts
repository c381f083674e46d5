import type { Queries } from '../../platform/postgres.ts';
import type { SecretBox } from '../../platform/secret-box.ts';
import { sql } from '../../platform/sql.ts';

export type Download = {
  /** The row of the file, in state pending. */
  readonly mediaId: number;
  /** An encoded WebMessageInfo whose message is the file's and nothing else: where it is, and the key that opens it. */
  readonly info: Uint8Array;
};

/** Files that are to be fetched by their device, in the transaction that makes their rows. One statement. */
export async function queueDownloads(
  tx: Queries,
  box: SecretBox,
  {
    accountId,
    deviceId,
    downloads,
  }: { accountId: number; deviceId: number; downloads: readonly Download[] },
): Promise<void> {
  if (downloads.length === 0) return;
  const sealed = downloads.map(({ mediaId, info }) => box.sealBytes(info, downloadPlace(mediaId)));
  await tx.query(sql`
    insert into private.whatsapp_downloads (media_id, account_id, device_id, message)
    select download.media_id, ${accountId}, ${deviceId}, download.message
    from unnest(${downloads.map(({ mediaId }) => mediaId)}::bigint[], ${sealed}::bytea[])
      as download (media_id, message)
    on conflict (media_id) do nothing`);
}

/** Where the message of a download is sealed for. */
export function downloadPlace(mediaId: number): string {
  return `whatsapp_downloads/${mediaId}`;
}
