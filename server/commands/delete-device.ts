import { devices } from '../../domain/entities/devices.ts';
import { ClarinError } from '../../domain/errors.ts';
import type { Reach } from '../../platform/entity-sql/scope.ts';
import { inReach } from '../../platform/entity-sql/scope.ts';
import type { Queries } from '../../platform/postgres.ts';
import { sql } from '../../platform/sql.ts';
import { notifyWhatsapp } from '../../platform/whatsapp-notes.ts';
import { deleteRow } from './delete-row.ts';

type Options = Reach & { id: number; ifMatch?: string | undefined };

/**
 * A device is deleted for good. What was said through it stays: its chats are of no device then. Campaigns that were to
 * go through it are paused, messages that wait for it or are being sent fail, and so do files that it had still to fetch:
 * none of it can be done any more. Gives the device as it was, JSON text. @throws ClarinError not_found,
 * precondition_failed.
 */
export async function deleteDevice(tx: Queries, options: Options): Promise<string> {
  const { accountId, id } = options;
  const rows = await tx.query(sql`
    select from public.devices as device where ${inReach(devices, 'device', options)} and device.id = ${id}`);
  if (rows.length === 0) throw new ClarinError('not_found', 'there is no such row');
  // Messages before campaigns, as their receipts take them: neither waits for the other.
  await failPending(tx, options);
  await tx.query(sql`
    update public.campaigns
    set status = 'paused', status_reason = 'Its device was deleted: choose another one and start it again.'
    where account_id = ${accountId} and device_id = ${id} and status in ('scheduled', 'running')`);
  await tx.query(sql`
    update public.media
    set state = 'failed'
    where account_id = ${accountId} and device_id = ${id} and state = 'pending'`);
  const row = await deleteRow(tx, { entity: devices, ...options });
  // Its chats are held by now: what was written to one of them meanwhile is there to be seen.
  await failPending(tx, options);
  await notifyWhatsapp(tx, { kind: 'changed', deviceId: id });
  return row;
}

async function failPending(tx: Queries, { accountId, id }: Options): Promise<void> {
  await tx.query(sql`
    update public.messages
    set status = 'failed', error = 'Its device was deleted before it was sent.'
    where account_id = ${accountId} and device_id = ${id} and status = 'pending'`);
  await tx.query(sql`
    update public.messages
    set status = 'failed', error = 'Its device was deleted before it was known whether it was sent.'
    where account_id = ${accountId} and device_id = ${id} and status = 'sending'`);
}
