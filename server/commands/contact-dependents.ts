import { chats } from '../../domain/entities/chats.ts';
import { ClarinError } from '../../domain/errors.ts';
import type { Sees } from '../../platform/entity-sql.ts';
import { inReach } from '../../platform/entity-sql/scope.ts';
import type { TextRow } from '../../platform/postgres.ts';
import { sql, type Sql } from '../../platform/sql.ts';

/** Whose contacts, and through which devices and with which permissions the caller may touch what hangs on them. */
export type Caller = {
  readonly accountId: number;
  readonly devices?: readonly number[] | undefined;
  readonly sees: Sees;
};

/** What keeps a contact from being deleted, and what only some roles may touch. */
export type Dependents = {
  readonly leads: number;
  readonly chats: number;
  /** Of the chats, those of devices that the caller does not see. */
  readonly hiddenChats: number;
};

/** Select list that counts what hangs on these contacts, for `dependentsOf`. */
export function countDependents(caller: Caller, contactIds: readonly number[]): Sql {
  const { accountId } = caller;
  const ids = sql`any(${[...contactIds]}::bigint[])`;
  return sql`
    (select count(*) from public.leads where account_id = ${accountId} and contact_id = ${ids}) as leads,
    (select count(*) from public.chats where account_id = ${accountId} and contact_id = ${ids}) as chats,
    (
      select count(*)
      from public.chats as chat
      where chat.account_id = ${accountId} and chat.contact_id = ${ids}
        and (${inReach(chats, 'chat', caller)}) is not true
    ) as hidden_chats`;
}

export function dependentsOf(row: TextRow | undefined): Dependents {
  return {
    leads: Number(row?.['leads'] ?? 0),
    chats: Number(row?.['chats'] ?? 0),
    hiddenChats: Number(row?.['hidden_chats'] ?? 0),
  };
}

/** @throws ClarinError forbidden: leads or chats would be moved or deleted by who may not see them. */
export function assertMayTouch(
  { sees }: Pick<Caller, 'sees'>,
  { leads, chats: all, hiddenChats }: Dependents,
): void {
  for (const [permission, count] of [
    ['leads', leads],
    ['chats', all],
  ] as const) {
    if (count === 0 || sees(permission)) continue;
    throw new ClarinError(
      'forbidden',
      `there are ${permission} in it, and your role does not include the permission "${permission}"`,
      { details: { permission } },
    );
  }
  if (hiddenChats === 0) return;
  throw new ClarinError(
    'forbidden',
    'there are chats in it of devices that your role does not see',
  );
}
