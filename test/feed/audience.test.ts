import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { AccountCommit, EncodedChange } from '../../domain/change.ts';
import type { FeedChange, ServerMessage, SubscribedTable } from '../../domain/feed-protocol.ts';
import type { Principal } from '../../domain/permission.ts';
import { compileAudience, judge, selectChanges } from '../../replicator/feed/audience.ts';
import { encodeCommitFrames } from '../../replicator/feed/frame.ts';
import { changeOf, commitOf, markerOf, tag, type TextRow } from './support.ts';

const principal = (...permissions: string[]): Principal => ({
  sessionId: 1,
  userId: 1,
  accountId: 1,
  roleId: 1,
  isSuperAdmin: false,
  deviceIds: null,
  apiKeyId: null,
  expiresAt: Infinity,
  permissions,
});

const compile = (tables: readonly SubscribedTable[], who = principal('*')) =>
  compileAudience({ id: 'x', tables, principal: who });

const lead = (id: number, stage: string, assigned: string | null): TextRow => ({
  ...tag(1, id, ''),
  contact_id: '1',
  title: `lead ${id}`,
  value: '0',
  currency: 'USD',
  status: 'open',
  pipeline_id: '1',
  stage_id: stage,
  position: '0',
  assigned_to: assigned,
  custom_fields: '{}',
});

type Row = Record<string, unknown>;

/** What a client does with frames: the whole of it. */
class Model {
  readonly rows = new Map<number, Row>();
  #parts: FeedChange[] = [];

  receive(frame: Buffer): void {
    const message = JSON.parse(frame.toString()) as Extract<ServerMessage, { type: 'commit' }>;
    this.#parts.push(...message.changes);
    if (!message.last) return;
    for (const change of this.#parts) this.#apply(change);
    this.#parts = [];
  }

  #apply(change: FeedChange): void {
    if ('row' in change) this.rows.set(Number(change.key['id']), change.row);
    else if (change.op === 'delete') this.rows.delete(Number(change.key['id']));
    else if (change.op === 'truncate') this.rows.clear();
    else throw new Error('this model cannot read again');
  }
}

type Step = {
  id: number;
  stage: string;
  assigned: string | null;
  op: 'put' | 'delete' | 'truncate';
  isForgotten: boolean;
};

const step = fc.record<Step>({
  id: fc.integer({ min: 1, max: 5 }),
  stage: fc.constantFrom('1', '2', '3'),
  assigned: fc.constantFrom(null, '7', '8'),
  op: fc.constantFrom('put', 'put', 'put', 'put', 'delete', 'truncate'),
  // What was before a delete is not always known.
  isForgotten: fc.boolean(),
});

const where = fc.record(
  { stage_id: fc.constantFrom(1, '2', 3), assigned_to: fc.constantFrom(null, 7, '8') },
  { requiredKeys: [] },
);

/** The table and what the WAL says of each step. */
function play(table: Map<number, TextRow>, one: Step): EncodedChange | undefined {
  const old = table.get(one.id);
  const was = old
    ? { stage_id: old['stage_id'] ?? null, assigned_to: old['assigned_to'] ?? null }
    : undefined;
  if (one.op === 'truncate') {
    table.clear();
    return markerOf('truncate', 'leads');
  }
  if (one.op === 'delete') {
    if (!old) return undefined;
    table.delete(one.id);
    return changeOf('delete', 'leads', old, one.isForgotten ? null : was);
  }
  const row = lead(one.id, one.stage, one.assigned);
  table.set(one.id, row);
  if (!old) return changeOf('insert', 'leads', row);
  const isMoved = old['stage_id'] !== one.stage || old['assigned_to'] !== one.assigned;
  return changeOf('update', 'leads', row, isMoved ? was : null);
}

describe('an audience', () => {
  it('[F8] leaves a client with exactly the rows its filter matches, whatever happens to the table', () => {
    fc.assert(
      fc.property(
        fc.array(fc.array(step, { minLength: 1, maxLength: 6 }), { maxLength: 12 }),
        where,
        (commits, filter) => {
          const audience = compile([{ table: 'leads', where: filter }]);
          const table = new Map<number, TextRow>();
          const model = new Model();
          commits.forEach((steps, index) => {
            const changes = steps.flatMap((one) => play(table, one) ?? []);
            const commit: AccountCommit = commitOf(1, index + 1, changes);
            const seen = selectChanges(commit, audience);
            if (seen.length === 0) return;
            for (const frame of encodeCommitFrames({ commit, epoch: 'e', id: 'x', changes: seen }))
              model.receive(frame);
          });
          const wanted = [...table.values()].filter((row) =>
            Object.entries(filter).every(
              ([name, value]) => row[name] === (value === null ? null : String(value)),
            ),
          );
          expect(new Set(model.rows.keys())).toEqual(
            new Set(wanted.map((row) => Number(row['id']))),
          );
          for (const row of wanted)
            expect(model.rows.get(Number(row['id']))).toMatchObject({ title: row['title'] });
        },
      ),
      { numRuns: 400 },
    );
  });

  it('[F8] gets a row that enters or stays as it is, and one that leaves as a delete', () => {
    const filter = [['stage_id', '1']] as const;
    const update = (now: string, was?: string) =>
      changeOf('update', 'leads', lead(1, now, null), was === undefined ? null : { stage_id: was });
    expect(judge(update('1'), filter)).toBe('same');
    expect(judge(update('1', '2'), filter)).toBe('same');
    expect(judge(update('2', '1'), filter)).toBe('leave');
    expect(judge(update('2', '3'), filter)).toBeUndefined();
    expect(judge(update('2'), filter)).toBeUndefined();
    expect(judge(changeOf('insert', 'leads', lead(1, '2', null)), filter)).toBeUndefined();
    expect(
      judge(changeOf('delete', 'leads', lead(1, '1', null), { stage_id: '2' }), filter),
    ).toBeUndefined();
    expect(judge(changeOf('delete', 'leads', lead(1, '1', null), { stage_id: '1' }), filter)).toBe(
      'same',
    );
    expect(judge(changeOf('delete', 'leads', lead(1, '1', null)), filter)).toBe('same');
    expect(judge(markerOf('bulk', 'leads'), filter)).toBe('same');
    expect(judge(markerOf('truncate', 'leads'), filter)).toBe('same');
  });

  it('[F8] of every column of a filter asks that all hold', () => {
    const filter = [
      ['assigned_to', '7'],
      ['stage_id', '1'],
    ] as const;
    const moved = changeOf('update', 'leads', lead(1, '1', '8'), { assigned_to: '7' });
    expect(judge(moved, filter)).toBe('leave');
    expect(
      judge(changeOf('update', 'leads', lead(1, '2', '8'), { assigned_to: '7' }), filter),
    ).toBeUndefined();
  });

  it('[F23] is refused where the role may not see the table', () => {
    expect(() => compile([{ table: 'leads' }], principal('tags'))).toThrow(/may not see "leads"/);
    expect(() => compile([{ table: 'tags' }, { table: 'leads' }], principal('tags'))).toThrow(
      /leads/,
    );
    expect(compile([{ table: 'accounts' }], principal()).tables.size).toBe(1);
  });

  it('[F24] gives a role without the permission the row without the column', () => {
    const row = { ...tag(1, 1, 'A'), slug: 'a', settings: '{"secret":1}' };
    const commit = commitOf(1, 1, [changeOf('update', 'accounts', row)]);
    const texts = (who: Principal) =>
      selectChanges(commit, compile([{ table: 'accounts' }], who)).map(({ json }) => json);
    expect(texts(principal('settings')).join('')).toContain('secret');
    expect(texts(principal('tags')).join('')).not.toContain('secret');
    expect(texts(principal('tags')).length).toBe(1);
  });

  it('[F6] is the same for two that ask for the same in another order', () => {
    const left = compile([
      { table: 'tags' },
      { table: 'leads', where: { stage_id: 1, assigned_to: '7' } },
    ]);
    const right = compile([
      { table: 'leads', where: { assigned_to: 7, stage_id: '01' } },
      { table: 'tags' },
    ]);
    expect(left.key).toBe(right.key);
    expect(compile([{ table: 'leads', where: { stage_id: 2 } }]).key).not.toBe(
      compile([{ table: 'leads', where: { stage_id: 1 } }]).key,
    );
    expect(compile([{ table: 'leads', where: { assigned_to: null } }]).key).not.toBe(
      compile([{ table: 'leads' }]).key,
    );
  });
});
