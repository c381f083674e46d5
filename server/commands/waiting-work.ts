import type { Queries } from '../../platform/postgres.ts';
import { sql } from '../../platform/sql.ts';

/** What waits for the worker of a device. */
export type WaitingWork = {
  readonly deviceId: number;
  /** Messages to be sent, now or again. */
  readonly outbox: boolean;
  /** Files to be fetched. */
  readonly downloads: boolean;
  /** What was read here and WhatsApp does not know. */
  readonly reads: boolean;
  /** What was decrypted and is no message yet. */
  readonly inbox: boolean;
};

/**
 * Those of the devices for which something waits: one statement for all devices of a worker, so that two hundred of them
 * that are quiet cost no more than one.
 */
export async function readWaitingWork(
  db: Queries,
  deviceIds: readonly number[],
): Promise<WaitingWork[]> {
  if (deviceIds.length === 0) return [];
  const rows = await db.query(sql`
    select waiting.id, waiting.outbox, waiting.downloads, waiting.reads, waiting.inbox
    from (
      select device.id,
        exists (
          select from public.messages as message
          where message.account_id = device.account_id and message.device_id = device.id and message.status = 'pending'
        ) or exists (
          select from private.whatsapp_sends as send
          where send.device_id = device.id and send.next_at <= clock_timestamp()
        ) as outbox,
        exists (
          select from private.whatsapp_downloads as download
          where download.device_id = device.id and download.next_at <= clock_timestamp()
        ) as downloads,
        exists (select from private.whatsapp_reads as read where read.device_id = device.id) as reads,
        exists (
          select from private.whatsapp_inbox as stanza
          where stanza.device_id = device.id and stanza.next_at <= clock_timestamp()
        ) as inbox
      from public.devices as device
      where device.id = any(${[...deviceIds]}::bigint[])
    ) as waiting
    where waiting.outbox or waiting.downloads or waiting.reads or waiting.inbox`);
  return rows.map((row) => ({
    deviceId: Number(row['id']),
    outbox: row['outbox'] === 't',
    downloads: row['downloads'] === 't',
    reads: row['reads'] === 't',
    inbox: row['inbox'] === 't',
  }));
}
