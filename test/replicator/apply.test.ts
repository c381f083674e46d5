import { describe, expect, test } from 'vitest';
import type { AccountCommit, ChangeOp, EncodedChange } from '../../domain/change.ts';
import { toLsn } from '../../domain/lsn.ts';
import { commitsOf, sharesOf } from '../../replicator/apply.ts';
import type { DecodedTransaction } from '../../replicator/transaction-builder.ts';

function change(table: string, op: ChangeOp, key: Record<string, number> = {}): EncodedChange {
  const keyJson = JSON.stringify(key);
  return { table, op, keyJson, json: `{"table":"${table}"}`, now: null, was: null };
}

function commit(accountId: number, lsn: number, changes: readonly EncodedChange[]): AccountCommit {
  return {
    accountId,
    lsn: toLsn(BigInt(lsn)),
    xid: 1,
    at: '',
    origin: undefined,
    changes,
    signals: [],
  };
}

function transaction(
  commits: readonly AccountCommit[],
  truncates: readonly EncodedChange[] = [],
): DecodedTransaction {
  const lsn = commits[0]?.lsn ?? toLsn(1n);
  const rest = { xid: 1, at: '', heartbeat: undefined, changesCount: 1, bytes: 1 };
  return { lsn, endLsn: toLsn(lsn + 1n), commits, truncates, ...rest };
}

describe('shares of a batch', () => {
  test('hold each account’s commits in order, with its own invalidations', () => {
    const [one, two] = sharesOf([
      commit(1, 10, [change('leads', 'update', { id: 5 })]),
      commit(2, 10, [change('leads', 'insert', { id: 6 })]),
      commit(1, 20, [change('leads', 'delete', { id: 7 })]),
    ]);
    expect(one?.commits.map((each) => each.lsn)).toEqual([10n, 20n]);
    expect(one?.invalidations).toEqual([
      { family: 'leads.row', ids: ['5', '7'] },
      { family: 'leads.list', ids: 'all' },
      // What is counted of leads.
      { family: 'dashboard', ids: 'all' },
      { family: 'pipelines.counts', ids: 'all' },
    ]);
    expect(two?.invalidations).toContainEqual({ family: 'leads.row', ids: ['6'] });
  });

  test('a link reaches its owner, an embedded row every payload that may show it', () => {
    const [share] = sharesOf([
      commit(1, 10, [change('lead_tags', 'delete', { id: 1, lead_id: 5, tag_id: 9 })]),
      commit(1, 11, [change('pipeline_stages', 'update', { id: 3 })]),
    ]);
    const families = Object.fromEntries(
      share?.invalidations.map((one) => [one.family, one.ids]) ?? [],
    );
    expect(families).toEqual({
      'leads.row': 'all',
      'leads.list': 'all',
      dashboard: 'all',
      'pipelines.counts': 'all',
      'pipelines.row': 'all',
      'pipelines.list': 'all',
    });
    const [link] = sharesOf([
      commit(1, 10, [change('lead_tags', 'insert', { id: 1, lead_id: 5, tag_id: 9 })]),
    ]);
    expect(link?.invalidations).toContainEqual({ family: 'leads.row', ids: ['5'] });
  });

  test('markers and very many entries drop the whole family', () => {
    const [marked] = sharesOf([commit(1, 10, [change('tags', 'bulk')])]);
    expect(marked?.invalidations).toContainEqual({ family: 'tags.row', ids: 'all' });
    const many = Array.from({ length: 501 }, (_, index) =>
      change('tags', 'insert', { id: index + 1 }),
    );
    const [large] = sharesOf([commit(1, 10, many)]);
    expect(large?.invalidations).toContainEqual({ family: 'tags.row', ids: 'all' });
  });

  test('[R8] a truncate becomes a commit of every account that is known and was not touched', async () => {
    const marker = change('tags', 'truncate');
    const touched = commit(1, 10, [change('tags', 'insert', { id: 1 }), marker]);
    let asked = 0;
    const everyone = (): Promise<number[]> => {
      asked++;
      return Promise.resolve([1, 2, 3]);
    };
    const commits = await commitsOf(
      [transaction([commit(1, 5, [])]), transaction([touched], [marker])],
      everyone,
    );
    expect(commits.map((each) => [each.accountId, each.lsn, each.changes.length])).toEqual([
      [1, 5n, 0],
      [1, 10n, 2],
      [2, 10n, 1],
      [3, 10n, 1],
    ]);
    expect(asked).toBe(1);
  });
});
