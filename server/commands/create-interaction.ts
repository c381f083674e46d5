import { interactions } from '../../domain/entities/interactions.ts';
import type { Written } from '../../platform/entity-sql.ts';
import type { Queries } from '../../platform/postgres.ts';
import { createRow } from './create-row.ts';

type Options = { accountId: number; actorId: number; values: Readonly<Record<string, unknown>> };

/** What somebody did with a contact or about a lead is written down, and who. @throws ClarinError unprocessable. */
export function createInteraction(
  tx: Queries,
  { accountId, actorId, values }: Options,
): Promise<Written> {
  return createRow(tx, {
    entity: interactions,
    accountId,
    values: { ...values, created_by: actorId },
  });
}
