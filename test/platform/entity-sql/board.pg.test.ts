import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { leads } from '../../../domain/entities/leads.ts';
import { boardQuerySchema, readBoard } from '../../../platform/entity-sql/board.ts';
import { sql } from '../../../platform/sql.ts';
import { ascending, openWorld, type World } from './list-world.ts';

let world: World;

beforeAll(async () => {
  world = await openWorld();
});

afterAll(() => world.close());

describe('the board', () => {
  type Board = {
    data: {
      pipeline_id: number;
      stages: { id: number; total: number; leads: { id: number }[]; next_cursor?: string }[];
    };
  };
  const board = async (raw: Record<string, string> = {}): Promise<Board> =>
    JSON.parse(
      (await readBoard(world.db, {
        accountId: world.account.accountId,
        query: boardQuerySchema().parse(raw),
      })) ?? 'null',
    ) as Board;

  it('has every stage in its order, with its count and its first leads', async () => {
    const { data } = await board({ limit: '1' });
    expect(data.pipeline_id).toBe(world.account.pipelineId);
    expect(data.stages.map(({ id }) => id)).toEqual([
      ...world.account.stages.active,
      world.account.stages.won,
      world.account.stages.lost,
    ]);
    for (const stage of data.stages) {
      const whole = await world.list(leads, {
        stage_id: String(stage.id),
        sort: 'position',
        order: 'asc',
      });
      expect(stage.total).toBe(whole.total);
      expect(stage.leads).toEqual(whole.data.slice(0, 1));
      expect(stage.next_cursor !== undefined).toBe(whole.total > 1);
      if (stage.next_cursor === undefined) continue;
      const rest = await world.list(leads, {
        stage_id: String(stage.id),
        sort: 'position',
        order: 'asc',
        cursor: stage.next_cursor,
      });
      expect(rest.data).toEqual(whole.data.slice(1));
    }
  });

  it('takes the filters of the list', async () => {
    const { data } = await board({ assigned_to: 'none' });
    const shown = data.stages.flatMap((stage) => stage.leads.map(({ id }) => id));
    expect(ascending(shown)).toEqual(ascending(await world.ids(leads, { assigned_to: 'none' })));
  });

  it('is of the named pipeline, and absent for one that is not there', async () => {
    const [other] = await world.db.query(sql`
      insert into public.pipelines (account_id, name) values (${world.account.accountId}, 'Other') returning id`);
    const { data } = await board({ pipeline_id: other?.['id'] ?? '' });
    expect(data.stages.map(({ total }) => total)).toEqual([0, 0]);
    expect(await board({ pipeline_id: '9007199254740991' })).toBeNull();
  });
});
