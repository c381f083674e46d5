/**
 * SQL as tagged templates: every interpolated value is a parameter, except fragments made by `sql` itself and
 * identifiers made by `ident()`. There is no way to put other text into a statement.
 */
const FRAGMENT = Symbol('fragment');

export type Sql = {
  readonly [FRAGMENT]: true;
  readonly strings: readonly string[];
  readonly values: readonly unknown[];
  readonly isPrepared?: true;
};

/** A statement ready for the wire: `$1` placeholders and their values. */
export type Statement = { readonly text: string; readonly values: unknown[] };

export function sql(strings: TemplateStringsArray, ...values: readonly unknown[]): Sql {
  return { [FRAGMENT]: true, strings, values };
}

function isFragment(value: unknown): value is Sql {
  return typeof value === 'object' && value !== null && FRAGMENT in value;
}

function raw(text: string): Sql {
  return { [FRAGMENT]: true, strings: [text], values: [] };
}

export const empty: Sql = raw('');

/**
 * The same statement, parsed and planned once per connection. For those whose best plan is the same for all values, and
 * whose text comes from declarations alone: each different text stays in the memory of every connection.
 * https://www.postgresql.org/docs/current/sql-prepare.html
 */
export function prepared(statement: Sql): Sql {
  return { ...statement, isPrepared: true };
}

/** A quoted identifier. @throws RangeError for names Postgres cannot have. */
export function ident(name: string): Sql {
  if (name.length === 0 || name.length > 63 || name.includes('\0'))
    throw new RangeError(`not an identifier: ${name}`);
  return raw(`"${name.replaceAll('"', '""')}"`);
}

/** A type to cast to, as a declaration names it: `bigint`, `numeric(14,2)`, `text[]`. @throws RangeError for other text. */
export function typeName(name: string): Sql {
  if (!/^[a-z][a-z ]{0,40}(?:\(\d{1,4}(?:,\d{1,4})?\))?(?:\[\])?$/.test(name))
    throw new RangeError(`not a type: ${name}`);
  return raw(name);
}

/** `"alias"."column"`. */
export function column(alias: string, name: string): Sql {
  return sql`${ident(alias)}.${ident(name)}`;
}

export function join(
  parts: readonly Sql[],
  separator: ', ' | ' and ' | ' or ' | ' ' | ' union all ' | ' union ' = ', ',
): Sql {
  if (parts.length === 0) return empty;
  const strings = ['', ...parts.slice(1).map(() => separator as string), ''];
  return { [FRAGMENT]: true, strings, values: parts };
}

/** The same fragment in one piece, for what stands in many statements. @throws Error when there are values in it. */
export function flatten(fragment: Sql): Sql {
  const { text, values } = compile(fragment);
  if (values.length > 0)
    throw new Error('a fragment with values differs from statement to statement');
  return raw(text);
}

/** Flattens fragments and numbers the parameters. */
export function compile(statement: Sql): Statement {
  let text = '';
  const values: unknown[] = [];
  const write = (part: Sql): void => {
    part.strings.forEach((piece, index) => {
      text += piece;
      if (index >= part.values.length) return;
      const value = part.values[index];
      if (isFragment(value)) write(value);
      else {
        values.push(value);
        text += `$${values.length}`;
      }
    });
  };
  write(statement);
  return { text, values };
}
