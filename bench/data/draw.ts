import { sql, type Sql } from '../../platform/sql.ts';

/**
 * Reproducible randomness inside of Postgres: every value is a hash of the row's number, the field
 * and the seed, so that no value depends on how rows are joined or in which order they are made.
 */
export type Draw = {
  /** Even from 0 up to 1; `power` above 1 makes small ones frequent. */
  between(field: number, power?: number): Sql;
  /** Whole, from 0 up to `below`. */
  integer(field: number, below: Sql | number, power?: number): Sql;
  chance(field: number, probability: number): Sql;
  /** One of the texts, the first ones more often. */
  oneOf(field: number, texts: readonly string[], power?: number): Sql;
};

/** For a session that will draw. */
export const DRAWING = sql`
  create function pg_temp.draw(number bigint, salt bigint) returns double precision
  language sql immutable parallel safe as $$
    select (hashint8extended(number, salt) & 9007199254740991)::double precision / 9007199254740992
  $$`;

/** Of the rows whose number is in the column `number`. `topic` keeps tables apart. */
export function drawFrom(number: Sql, seed: number, topic: number): Draw {
  const even = (field: number): Sql =>
    sql`pg_temp.draw(${number}, ${(seed * 100 + topic) * 100 + field}::bigint)`;
  const between: Draw['between'] = (field, power = 1) =>
    power === 1 ? even(field) : sql`power(${even(field)}, ${power}::double precision)`;
  const integer: Draw['integer'] = (field, below, power) => {
    const bound = typeof below === 'number' ? sql`${below}::integer` : below;
    return sql`floor(${between(field, power)} * ${bound})::integer`;
  };
  return {
    between,
    integer,
    chance: (field, probability) => sql`(${even(field)} < ${probability}::double precision)`,
    oneOf: (field, texts, power = 1.5) =>
      sql`(${[...texts]}::text[])[1 + ${integer(field, texts.length, power)}]`,
  };
}
