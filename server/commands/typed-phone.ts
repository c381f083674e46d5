import { ClarinError } from '../../domain/errors.ts';
import { normalizePhone } from '../../domain/phone.ts';
import type { Queries } from '../../platform/postgres.ts';
import { sql } from '../../platform/sql.ts';

type Values = Readonly<Record<string, unknown>>;

/**
 * The values with `phone` as it is stored: E.164 digits. It is read as people of the account's country type it; of
 * several numbers in the field the first counts. What is stored already (`known`) stays as it is, under any country.
 * @throws ClarinError invalid_request, with the reason, when there is no number in it.
 */
export async function withTypedPhone(
  tx: Queries,
  { accountId, values, known }: { accountId: number; values: Values; known?: string | null },
): Promise<Values> {
  const typed = values['phone'];
  if (typeof typed !== 'string' || typed === known) return values;
  const rows = await tx.query(
    sql`select default_country from public.accounts where id = ${accountId}`,
  );
  const phone = normalizePhone(typed, rows[0]?.['default_country'] ?? '');
  if (phone.ok) return { ...values, phone: phone.e164 };
  throw new ClarinError('invalid_request', `body.phone: ${phone.says}`, {
    details: { fields: [{ field: 'body.phone', says: phone.says, reason: phone.reason }] },
  });
}
