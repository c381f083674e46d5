import { id, text } from '../column.ts';
import { defineEntity } from '../entity.ts';

/** A device that knows a contact, and what its address book calls it. */
export const contact_device_names = defineEntity({
  table: 'contact_device_names',
  singular: 'device name',
  permission: 'contacts',
  columns: {
    contact_id: id({ references: 'contacts' }),
    device_id: id({ references: 'devices' }),
    name: text({ nullable: true, max: 200 }),
  },
  identity: ['account_id', 'id', 'contact_id'],
  device: 'device_id',
  feedFilters: ['contact_id', 'device_id'],
});
