import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { phoneMatchKey } from '../../domain/phone.ts';
import { sql } from '../../platform/sql.ts';
import { openWorld, type World } from './plain-sql-world.ts';

let world: World;

beforeAll(async () => {
  world = await openWorld();
});

afterAll(() => world.close());

describe('the key of a phone number', () => {
  it('is the same in SQL and in the domain', async () => {
    const numbers = fc.stringMatching(/^(?:52|521|54|549|55|55119|51|)\d{6,12}$/);
    // Three that the rules reach, whatever the samples are.
    const phones = [
      '5215512345678',
      '5491123456789',
      '5511987654321',
      ...fc.sample(numbers, 2_000),
    ];
    const rows = await world.db.query(
      sql`
        select given.phone, clarin.phone_key(given.phone) as key
        from unnest(${phones}::text[]) with ordinality as given (phone, place)
        order by given.place`,
    );
    expect(rows).toEqual(phones.map((phone) => ({ phone, key: phoneMatchKey(phone) })));
  });
});
