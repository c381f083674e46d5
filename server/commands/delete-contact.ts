import { contacts } from '../../domain/entities/contacts.ts';
import { ClarinError } from '../../domain/errors.ts';
import type { Queries } from '../../platform/postgres.ts';
import { sql } from '../../platform/sql.ts';
import { deleteRow } from './delete-row.ts';

type Options = { accountId: number; id: number; withLeads: boolean; ifMatch?: string | undefined };

/**
 * A contact is deleted for good, in one transaction; with its leads only where that was asked for in so many words.
 * Gives the contact as it was, JSON text. @throws ClarinError not_found, precondition_failed, conflict.
 */
export async function deleteContact(tx: Queries, options: Options): Promise<string> {
  const { accountId, id, withLeads, ifMatch } = options;
  if (withLeads) {
    await tx.query(
      sql`delete from public.leads where account_id = ${accountId} and contact_id = ${id}`,
    );
  } else {
    const rows = await tx.query(sql`
      select count(*) as leads from public.leads where account_id = ${accountId} and contact_id = ${id}`);
    const leads = Number(rows[0]?.['leads'] ?? 0);
    if (leads > 0) {
      throw new ClarinError(
        'conflict',
        'the contact has leads: delete them first, or say with_leads=true',
        {
          details: { leads },
        },
      );
    }
  }
  return deleteRow(tx, { entity: contacts, accountId, id, ifMatch });
}
