import { accounts } from '../../domain/entities/accounts.ts';
import { createSchema } from '../../domain/entity.ts';
import { readEntity } from '../../platform/entity-sql.ts';
import type { Queries } from '../../platform/postgres.ts';
import { ident, join, sql } from '../../platform/sql.ts';

/** A new account, with what every account begins with: roles, a pipeline, a default stage. JSON text of the row. */
export async function createAccount(
  tx: Queries,
  values: Readonly<Record<string, unknown>>,
): Promise<string> {
  const names = Object.keys(createSchema(accounts).shape).filter(
    (name) => values[name] !== undefined,
  );
  const rows = await tx.query(sql`
    insert into public.accounts (${join(names.map(ident))})
    values (${join(names.map((name) => sql`${toParameter(values[name])}`))})
    returning id`);
  const id = Number(rows[0]?.['id']);
  await tx.query(sql`select clarin.seed_account_defaults(${id})`);
  return (await readEntity(tx, accounts, { accountId: id, id })) ?? '{}';
}

function toParameter(value: unknown): unknown {
  return typeof value === 'object' && value !== null ? JSON.stringify(value) : value;
}
