import { boolean, id, int, json, text, timestamp } from '../column.ts';
import { defineEntity } from '../entity.ts';

/** Whatever shows a picture puts this into a page: nothing that a browser would run. */
function isWebAddress(text: string): boolean {
  return URL.canParse(text) && ['http:', 'https:'].includes(new URL(text).protocol);
}

export const contacts = defineEntity({
  table: 'contacts',
  singular: 'contact',
  permission: 'contacts',
  columns: {
    jid: text({ nullable: true, max: 128, write: 'create' }),
    lid: text({ nullable: true, max: 128 }),
    /** E.164 without the plus: as WhatsApp names it, so that one number is one text. */
    phone: text({
      nullable: true,
      pattern: /^[1-9][0-9]{5,14}$/,
      says: 'is not a number in E.164: 6 to 15 digits with the country code first, no + and no spaces',
      write: 'always',
    }),
    name: text({ nullable: true, max: 200, write: 'always' }),
    push_name: text({ nullable: true, max: 200 }),
    custom_name: text({ nullable: true, max: 200, write: 'always' }),
    last_name: text({ nullable: true, max: 200, write: 'always' }),
    short_name: text({ nullable: true, max: 100, write: 'always' }),
    /** custom_name, name, push_name, phone, jid: the first that is not empty; kept by a trigger. */
    display_name: text({ max: 200 }),
    email: text({ nullable: true, max: 254, write: 'always' }),
    company: text({ nullable: true, max: 200, write: 'always' }),
    age: int({ nullable: true, min: 0, max: 150, write: 'always' }),
    notes: text({ nullable: true, write: 'always' }),
    avatar_url: text({
      nullable: true,
      max: 2048,
      check: isWebAddress,
      says: 'is not a URL that begins with http:// or https://',
      write: 'always',
    }),
    is_group: boolean(),
    source: text({ nullable: true, max: 100, write: 'create' }),
    do_not_contact: boolean({ write: 'always' }),
    do_not_contact_at: timestamp({ nullable: true }),
    do_not_contact_by: id({ nullable: true }),
    do_not_contact_reason: text({ nullable: true, max: 500, write: 'always' }),
    custom_fields: json({ write: 'always' }),
    kommo_id: id({ nullable: true }),
    kommo_deleted_at: timestamp({ nullable: true }),
  },
  embeds: {
    tags: {
      kind: 'many',
      table: 'tags',
      through: 'contact_tags',
      owner: 'contact_id',
      target: 'tag_id',
      columns: ['id', 'name', 'color'],
      order: 'name',
    },
    /** Devices that know it. Ids only: what a device is called is for those who may see it. */
    devices: {
      kind: 'many',
      table: 'devices',
      through: 'contact_device_names',
      owner: 'contact_id',
      target: 'device_id',
      columns: ['id'],
      order: 'id',
    },
  },
  list: {
    filters: {
      tag_ids: { kind: 'linked', embed: 'tags' },
      device_id: { kind: 'linked', embed: 'devices' },
      has_phone: { kind: 'has', column: 'phone' },
      is_group: { kind: 'equals', column: 'is_group' },
      do_not_contact: { kind: 'equals', column: 'do_not_contact' },
      source: { kind: 'equals', column: 'source' },
      created: { kind: 'range', column: 'created_at' },
      updated: { kind: 'range', column: 'updated_at' },
    },
    search: ['display_name', 'phone', 'email', 'company'],
    sorts: ['created_at', 'updated_at', 'display_name'],
    sort: 'created_at',
    order: 'desc',
  },
  cache: { row: true, list: true },
  rest: 'crud',
});
