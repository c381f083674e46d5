import { contacts } from '../../domain/entities/contacts.ts';
import type { Written } from '../../platform/entity-sql.ts';
import type { Queries } from '../../platform/postgres.ts';
import { sql } from '../../platform/sql.ts';
import { withTypedPhone } from './typed-phone.ts';
import { updateRow } from './update-row.ts';

type Options = {
  accountId: number;
  id: number;
  actorId: number;
  values: Readonly<Record<string, unknown>>;
  ifMatch?: string | undefined;
};

/**
 * A contact is changed, its phone as people type it; who sets do-not-contact is written down with it. Undefined: no
 * such contact. @throws ClarinError invalid_request, precondition_failed, conflict.
 */
export async function updateContact(tx: Queries, options: Options): Promise<Written | undefined> {
  const { accountId, id, actorId, ifMatch } = options;
  let { values } = options;
  if (values['do_not_contact'] === true || typeof values['phone'] === 'string') {
    const rows = await tx.query(sql`
      select do_not_contact, phone
      from public.contacts
      where account_id = ${accountId} and id = ${id}
      for no key update`);
    const row = rows[0];
    if (!row) return undefined;
    values = await withTypedPhone(tx, { accountId, values, known: row['phone'] ?? null });
    if (values['do_not_contact'] === true && row['do_not_contact'] === 'f')
      values = { ...values, do_not_contact_by: actorId };
  }
  return updateRow(tx, { entity: contacts, accountId, id, values, ifMatch });
}
