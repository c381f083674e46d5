import { reachOf, type Reach } from '../domain/cache-key.ts';
import type { AccountCommit } from '../domain/change.ts';
import { ENTITIES } from '../domain/registry.ts';
import type { AccountShare, Invalidation } from '../platform/cache/types.ts';
import type { DecodedTransaction } from './transaction-builder.ts';

/** Entries of one family named one by one; with more of them the family is dropped. */
const ENTRIES_MAX = 500;

const reaches = new Map<string, readonly Reach[]>(
  ENTITIES.map((entity) => [entity.table, reachOf(entity)]),
);

/**
 * The commits of a batch, one per transaction and account, in commit order. A truncate concerns every account there
 * is: `everyone` answers them, and is only asked then.
 */
export async function commitsOf(
  transactions: readonly DecodedTransaction[],
  everyone: () => Promise<readonly number[]>,
): Promise<AccountCommit[]> {
  const commits: AccountCommit[] = [];
  for (const transaction of transactions) {
    // One by one: a spread of as many as there may be accounts does not fit the stack.
    for (const commit of transaction.commits) commits.push(commit);
    if (transaction.truncates.length === 0) continue;
    const touched = new Set(transaction.commits.map((commit) => commit.accountId));
    const { lsn, xid, at, truncates } = transaction;
    for (const accountId of await everyone()) {
      if (touched.has(accountId)) continue;
      commits.push({ accountId, lsn, xid, at, origin: undefined, changes: truncates, signals: [] });
    }
  }
  return commits;
}

/** Each account's part of a batch, with what its commits invalidate. */
export function sharesOf(commits: readonly AccountCommit[]): AccountShare[] {
  const byAccount = new Map<number, AccountCommit[]>();
  for (const commit of commits) {
    const known = byAccount.get(commit.accountId);
    if (known) known.push(commit);
    else byAccount.set(commit.accountId, [commit]);
  }
  return [...byAccount].map(([accountId, own]) => ({
    accountId,
    commits: own,
    invalidations: invalidationsOf(own),
  }));
}

/** One per family. An entry's id is in the change's key, because an owner is always part of the identity. */
function invalidationsOf(commits: readonly AccountCommit[]): Invalidation[] {
  const families = new Map<string, Set<string> | 'all'>();
  for (const change of commits.flatMap((commit) => commit.changes)) {
    for (const reach of reaches.get(change.table) ?? []) {
      const known = families.get(reach.family) ?? new Set<string>();
      if (known === 'all') continue;
      const id = reach.scope === 'entry' ? readKey(change.keyJson, reach.field) : undefined;
      const isAll = id === undefined || known.size >= ENTRIES_MAX;
      families.set(reach.family, isAll ? 'all' : known.add(id));
    }
  }
  return [...families].map(([family, ids]) => ({ family, ids: ids === 'all' ? ids : [...ids] }));
}

/** Undefined for a marker, whose key is empty. */
function readKey(keyJson: string, field: string): string | undefined {
  const key = JSON.parse(keyJson) as Record<string, string | number>;
  const value = key[field];
  return value === undefined ? undefined : String(value);
}
