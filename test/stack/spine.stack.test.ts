import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Database } from '../../platform/postgres.ts';
import { eventually } from '../support/services.ts';
import { openTruth, startModel } from './support/compare.ts';
import { addLeads, startStack, type Stack } from './support/stack.ts';

/** The whole way once, as the README shows it. */
describe('a committed row', () => {
  let stack: Stack;
  let truth: Database;

  beforeAll(async () => {
    stack = await startStack();
    truth = openTruth(stack);
  });
  afterAll(async () => {
    await truth.close();
    await stack.close();
  });

  it('reaches a cached read and a browser, from SQL', async () => {
    const [account] = stack.accounts;
    const [id] = await addLeads(stack, account, 3);
    await stack.settle();
    const read = () => stack.request(account, 'GET /api/leads?sort=title&order=asc');
    const first = await read();
    expect([first.status, first.headers.get('clarin-cache')]).toEqual([200, 'miss']);
    const second = await read();
    expect(second.headers.get('clarin-cache')).toBe('hit');
    expect(second.text).toBe(first.text);

    const model = await startModel(stack, truth, account, [{ table: 'leads' }]);
    await stack.sql('update leads set title = $1 where id = $2', ['A new title', id]);
    const commit = await eventually(() => model.commits.find((one) => one.changes.length === 1));
    expect(commit.changes[0]).toMatchObject({
      table: 'leads',
      op: 'update',
      key: { id },
      row: { title: 'A new title' },
    });

    // The read that an event causes sees the new state, always (G3).
    const third = await read();
    expect(third.headers.get('clarin-cache')).toBe('miss');
    expect(third.text).toContain('A new title');
    expect((await read()).headers.get('clarin-cache')).toBe('hit');
    expect(model.faults).toEqual([]);
    model.close();
  });

  it('carries the origin its writer announced', async () => {
    const [account] = stack.accounts;
    const model = await startModel(stack, truth, account, [{ table: 'tags' }]);
    const answer = await stack.request(
      account,
      'POST /api/tags',
      { name: 'From here' },
      { 'x-operation-id': 'op-17' },
    );
    expect(answer.status).toBe(201);
    expect(answer.headers.get('clarin-commit')).toMatch(/^[0-9A-F]+\/[0-9A-F]+$/);
    const commit = await eventually(() => model.commits[0]);
    expect(commit.origin).toMatchObject({
      source: 'api',
      operation_id: 'op-17',
      actor_id: account.userId,
    });
    model.close();
  });

  it('is seen by the read that names its commit, whatever the replicator has done by then', async () => {
    const [account] = stack.accounts;
    for (let round = 0; round < 20; round++) {
      const name = `Read your writes ${round}`;
      const written = await stack.request(account, 'POST /api/tags', { name });
      const minCommit = written.headers.get('clarin-commit') ?? '';
      const read = await stack.request(account, 'GET /api/tags?limit=200', undefined, {
        'clarin-min-commit': minCommit,
      });
      expect(read.text).toContain(name);
    }
  });
});
