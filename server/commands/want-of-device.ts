import { devices, type DEVICE_WANTED } from '../../domain/entities/devices.ts';
import type { Reach } from '../../platform/entity-sql/scope.ts';
import type { Written } from '../../platform/entity-sql.ts';
import type { Queries } from '../../platform/postgres.ts';
import { notifyWhatsapp } from '../../platform/whatsapp-notes.ts';
import { askDeviceAnew, dropDeviceRetry } from './ask-device-anew.ts';
import { cancelPairing } from './pair-device.ts';
import { updateRow } from './update-row.ts';

type Options = Reach & { id: number; wanted: (typeof DEVICE_WANTED)[number] };

/**
 * What people want of a device. The worker that holds it makes it so and says in `status` how far it is: nobody here
 * talks to WhatsApp. Who no longer wants it connected wants no pairing either. Undefined: no such device.
 */
export async function wantOfDevice(
  tx: Queries,
  { id, wanted, ...reach }: Options,
): Promise<Written | undefined> {
  // First: what is answered is the row after all of it.
  if (wanted === 'connected') await askDeviceAnew(tx, { ...reach, deviceId: id });
  else await dropDeviceRetry(tx, { ...reach, deviceId: id });
  const written = await updateRow(tx, { entity: devices, id, values: { wanted }, ...reach });
  if (!written) return undefined;
  if (wanted !== 'connected') await cancelPairing(tx, { ...reach, deviceId: id });
  await notifyWhatsapp(tx, { kind: 'changed', deviceId: id });
  return written;
}
