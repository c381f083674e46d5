import { addExamples } from '../../server/api/plugins/openapi-examples.ts';
import { ident, join, sql } from '../../platform/sql.ts';
import type { TestApi } from './support.ts';

/** The part of JSON schema that bodies are described with. */
export type Schema = {
  readonly type?: string | readonly string[];
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly additionalProperties?: boolean | Schema;
  readonly required?: readonly string[];
  readonly items?: Schema;
  readonly enum?: readonly unknown[];
  readonly const?: unknown;
  readonly anyOf?: readonly Schema[];
  readonly oneOf?: readonly Schema[];
  readonly allOf?: readonly Schema[];
  readonly maxLength?: number;
};

/** One operation of the OpenAPI document. */
export type Operation = {
  /** `POST /api/leads/{id}/won` */
  readonly route: string;
  readonly method: string;
  readonly path: string;
  /** Names of the parameters in the query string. */
  readonly query: readonly string[];
  /** Those of them that it cannot be asked without. */
  readonly required: readonly string[];
  /** Each shape its JSON body may have, with an example of it; none: it takes no JSON. */
  readonly bodies: readonly { readonly schema: Schema; readonly example: unknown }[];
  /** Its body is multipart/form-data. */
  readonly isForm: boolean;
  /** Names of the form's parts. */
  readonly parts: readonly string[];
};

type Content = Record<string, { schema?: Schema; example?: unknown }>;
type Described = {
  parameters?: { in: string; name: string; required?: boolean }[];
  requestBody?: { content: Content };
};

/** Whatever the document has at this moment: nothing that is added to the API can be forgotten here. */
export async function readOperations(api: TestApi): Promise<Operation[]> {
  const { body } = await api.ask(undefined, 'GET', '/docs/json');
  const paths = body.paths as Record<string, Record<string, Described>>;
  return Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([name, described]): Operation => {
      const content = described.requestBody?.content ?? {};
      const schema = content['application/json']?.schema;
      const method = name.toUpperCase();
      const inQuery = (described.parameters ?? []).filter((one) => one.in === 'query');
      const form = content['multipart/form-data'];
      return {
        route: `${method} ${path}`,
        method,
        path,
        query: inQuery.map((one) => one.name),
        required: inQuery.filter((one) => one.required === true).map((one) => one.name),
        bodies: schema ? variantsOf(schema).map((one) => withExample(one)) : [],
        isForm: form !== undefined,
        parts: Object.keys(form?.schema?.properties ?? {}),
      };
    }),
  );
}

/** The shapes of a schema that leaves a choice, without null. */
export function variantsOf(schema: Schema): Schema[] {
  const variants = schema.oneOf ?? schema.anyOf;
  return variants ? variants.flatMap(variantsOf).filter((one) => one.type !== 'null') : [schema];
}

function withExample(schema: Schema): Operation['bodies'][number] {
  const media: { schema: Schema; example?: unknown } = { schema };
  addExamples({
    paths: { one: { post: { requestBody: { content: { 'application/json': media } } } } },
  });
  return { schema, example: media.example };
}

/** JSON types a value of this schema may have. Empty: any. */
export function typesOf(schema: Schema): ReadonlySet<string> {
  const types = new Set<string>();
  const add = (one: Schema): void => {
    for (const variant of one.oneOf ?? one.anyOf ?? []) add(variant);
    for (const type of [one.type ?? []].flat()) types.add(type === 'integer' ? 'number' : type);
    for (const value of one.enum ?? ('const' in one ? [one.const] : [])) types.add(typeof value);
  };
  add(schema);
  return types;
}

/** Ids of rows, by the names of tables. */
export type Ids = ReadonlyMap<string, number>;

/** An id of every table the account has a row in. */
export async function readIds(api: TestApi, accountId: number): Promise<Ids> {
  const tables = await tablesOf(api, 'id');
  const rows = await api.owner.query(
    join(
      tables.map(
        (table) =>
          sql`select ${table}::text as name, min(id) as id from public.${ident(table)} where account_id = ${accountId}`,
      ),
      ' union all ',
    ),
  );
  const [user] = await api.owner.query(sql`
    select min(user_id) as id from public.memberships where account_id = ${accountId}`);
  const found = rows.filter((row) => row['id'] !== null);
  return new Map([
    ...found.map((row): [string, number] => [String(row['name']), Number(row['id'])]),
    ['accounts', accountId],
    ['users', Number(user?.['id'])],
  ]);
}

/** A fingerprint of everything the account has in any table, and of the account itself. */
export async function fingerprint(api: TestApi, accountId: number): Promise<string> {
  const tables = await tablesOf(api, 'account_id');
  const of = (table: string, column: string) => sql`
    select ${table}::text as name, md5(string_agg(whole::text, '|' order by whole::text)) as sum
    from public.${ident(table)} as whole where ${ident(column)} = ${accountId}`;
  const parts = [...tables.map((table) => of(table, 'account_id')), of('accounts', 'id')];
  return JSON.stringify(await api.owner.query(join(parts, ' union all ')));
}

async function tablesOf(api: TestApi, column: string): Promise<string[]> {
  const rows = await api.owner.query(sql`
    select owned.table_name as name
    from information_schema.columns as owned
    join information_schema.tables as base using (table_schema, table_name)
    where owned.table_schema = 'public' and owned.column_name = 'account_id' and base.table_type = 'BASE TABLE'
      and exists (
        select from information_schema.columns as other
        where other.table_schema = 'public' and other.table_name = owned.table_name
          and other.column_name = ${column}
      )
    order by name`);
  return rows.map((row) => String(row['name']));
}

/** Whose row stands in the path: of the table that the words before the id name. */
export function tableOf({ path }: Operation, ids: Ids): string | undefined {
  const words = (path.split('/{', 1)[0] ?? '').split('/').slice(2);
  return [words.join('_'), words.at(-1) ?? ''].find((name) => ids.has(name));
}

/** The path with this id for every parameter. */
export function pathWith({ path }: Operation, id: number | string): string {
  // A secret is no id: one of the right form that is nobody's.
  return path.replace('{secret}', 'x'.repeat(43)).replaceAll(/\{\w+\}/g, String(id));
}

/** The example with the ids of these rows wherever a member's name says whose id it is. */
export function referringTo(value: unknown, ids: Ids, name = ''): unknown {
  if (typeof value === 'number') return ids.get(tableOfMember(name, ids) ?? '') ?? value;
  if (Array.isArray(value)) return value.map((one) => referringTo(one, ids, name));
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, one]) => [key, referringTo(one, ids, key)]),
  );
}

/** `contact_id`, `contact_ids`, `leads`, `assigned_to`. */
function tableOfMember(name: string, ids: Ids): string | undefined {
  if (name === 'assigned_to') return 'users';
  if (name === 'stage_id') return 'pipeline_stages';
  if (name === 'reply_to') return 'messages';
  const singular = name.replace(/_ids?$/, '');
  return [name, singular, `${singular}s`].find((table) => ids.has(table));
}
