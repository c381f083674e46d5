import { contacts } from '../../domain/entities/contacts.ts';
import type { Written } from '../../platform/entity-sql.ts';
import type { Queries } from '../../platform/postgres.ts';
import { createRow } from './create-row.ts';
import { withTypedJid } from './typed-jid.ts';
import { withTypedPhone } from './typed-phone.ts';

type Options = { accountId: number; actorId: number; values: Readonly<Record<string, unknown>> };

/**
 * A contact is made, its phone and its WhatsApp address as people type them; who sets do-not-contact at once is written
 * down with it.
 * @throws ClarinError invalid_request, conflict.
 */
export async function createContact(
  tx: Queries,
  { accountId, actorId, values }: Options,
): Promise<Written> {
  const stored = await withTypedPhone(tx, { accountId, values: withTypedJid(values) });
  const isBarred = values['do_not_contact'] === true;
  return createRow(tx, {
    entity: contacts,
    accountId,
    values: isBarred ? { ...stored, do_not_contact_by: actorId } : stored,
  });
}
