import { id, text, timestamp } from '../column.ts';
import { defineEntity } from '../entity.ts';

export const PAIRING_KINDS = ['qr', 'code'] as const;

/** A pairing under way; `code` is the QR text or the pairing code, written by the device's worker. */
export const device_pairings = defineEntity({
  table: 'device_pairings',
  singular: 'pairing',
  permission: 'devices',
  columns: {
    device_id: id({ references: 'devices' }),
    kind: text({ values: PAIRING_KINDS }),
    phone: text({ nullable: true, max: 32 }),
    code: text({ nullable: true, max: 1000 }),
    expires_at: timestamp(),
  },
  identity: ['account_id', 'id', 'device_id'],
  device: 'device_id',
  feedFilters: ['device_id'],
});
