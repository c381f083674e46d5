import { contact_device_names } from '../../domain/entities/contact_device_names.ts';
import { contacts } from '../../domain/entities/contacts.ts';
import { ClarinError } from '../../domain/errors.ts';
import type { Written } from '../../platform/entity-sql.ts';
import { inReach } from '../../platform/entity-sql/scope.ts';
import type { Queries } from '../../platform/postgres.ts';
import { empty, sql } from '../../platform/sql.ts';
import { updateRow } from './update-row.ts';

type Options = {
  accountId: number;
  id: number;
  /** Whose address book; absent: the one that named it last. */
  deviceId?: number | undefined;
  devices?: readonly number[] | undefined;
  ifMatch?: string | undefined;
};

/**
 * A contact is called as the address book of a device has it, or else as it calls itself; where neither has a name,
 * its own stays. What people called it here is gone. Undefined: no such contact.
 * @throws ClarinError unprocessable when that device does not know it, precondition_failed.
 */
export async function resetContactName(
  tx: Queries,
  options: Options,
): Promise<Written | undefined> {
  const { accountId, id, deviceId, ifMatch } = options;
  const found = await tx.query(sql`
    select push_name
    from public.contacts
    where account_id = ${accountId} and id = ${id}
    for no key update`);
  const contact = found[0];
  if (!contact) return undefined;
  const rows = await tx.query(sql`
    select known.name
    from public.contact_device_names as known
    where ${inReach(contact_device_names, 'known', options)} and known.contact_id = ${id}
      ${deviceId === undefined ? empty : sql`and known.device_id = ${deviceId}`}
    order by (coalesce(known.name, '') = ''), known.updated_at desc, known.id desc
    limit 1`);
  if (deviceId !== undefined && rows.length === 0)
    throw new ClarinError('unprocessable', 'this device does not know the contact');
  const name = nonEmpty(rows[0]?.['name']) ?? nonEmpty(contact['push_name']);
  const values = { custom_name: null, ...(name === undefined ? {} : { name }) };
  return updateRow(tx, { entity: contacts, accountId, id, values, ifMatch });
}

function nonEmpty(text: string | null | undefined): string | undefined {
  return text === null || text === '' ? undefined : text;
}
