import { contacts } from '../../domain/entities/contacts.ts';
import type { Written } from '../../platform/entity-sql.ts';
import type { Queries } from '../../platform/postgres.ts';
import { createRow } from './create-row.ts';

type Options = { accountId: number; actorId: number; values: Readonly<Record<string, unknown>> };

/** A contact is made; who sets do-not-contact at once is written down with it. @throws ClarinError conflict. */
export function createContact(
  tx: Queries,
  { accountId, actorId, values }: Options,
): Promise<Written> {
  const isBarred = values['do_not_contact'] === true;
  return createRow(tx, {
    entity: contacts,
    accountId,
    values: isBarred ? { ...values, do_not_contact_by: actorId } : values,
  });
}
