import { publishedColumns, type Entity } from '../../domain/entity.ts';
import { ENTITIES } from '../../domain/registry.ts';
import type { Random } from './faults/fault.ts';
import type { SoakAccount } from './accounts.ts';
import type { OwnWorld } from './world.ts';

/** A column that anybody may write, as the database says: by a trial of each that the declarations name. */
export type Mutation = { readonly table: string; readonly column: string; readonly kind: Kind };
type Kind = 'text' | 'int' | 'numeric' | 'boolean' | 'json' | 'timestamp' | 'text_array';

const KINDS: readonly string[] = [
  'text',
  'int',
  'numeric',
  'boolean',
  'json',
  'timestamp',
  'text_array',
];

/** What decides who may come in or what is versioned is left alone: the soak itself stands on it. */
const LEFT_ALONE = new Set([
  'accounts.is_active',
  'users.is_active',
  'users.is_super_admin',
  'sessions.expires_at',
  'sessions.revoked_at',
  'roles.permissions',
  'memberships.device_ids',
  'contacts.custom_name',
  'leads.value',
  'leads.deleted_at',
  'leads.archived_at',
]);

/** A value of the kind as text, different each time. */
export function valueOf(kind: Kind, mark: string, random: Random): string {
  switch (kind) {
    case 'text':
      // Now and then one that Postgres stores apart: the feed must not lose it when other columns change.
      return random(8) === 0
        ? `${mark} ${'long '.repeat(600 + random(600))}`
        : `${mark} ${random(1e9)}`;
    case 'int':
      return String(random(1_000));
    case 'numeric':
      return `${random(1e6)}.5`;
    case 'boolean':
      return random(2) === 0 ? 'true' : 'false';
    case 'json':
      return JSON.stringify({ mark, n: random(1e9), list: [random(9), null, '"'] });
    case 'timestamp':
      return new Date(1.6e12 + random(1e9)).toISOString();
    case 'text_array':
      return `{"a ${random(1e6)}","with \\"quotes\\""}`;
    default:
      return kind satisfies never;
  }
}

/** Tries every declared column on a row of the account, and rolls all of it back. */
export async function findMutations(
  world: OwnWorld,
  account: SoakAccount,
  random: Random,
): Promise<Mutation[]> {
  const found: Mutation[] = [];
  const client = await world.session();
  try {
    for (const entity of ENTITIES) {
      for (const column of publishedColumns(entity)) {
        const kind = kindOf(entity, column);
        if (kind === undefined) continue;
        await client.query('begin');
        try {
          const { rowCount } = await client.query(
            `update public.${entity.table} set ${column} = $1
             where id = (select id from public.${entity.table} where ${scopeOf(entity)} order by id desc limit 1)`,
            [valueOf(kind, account.mark, random)].concat(),
          );
          if (rowCount === 1) found.push({ table: entity.table, column, kind });
        } catch {
          // A check, a trigger or a foreign key says no: it is not for everybody to write.
        }
        await client.query('rollback');
      }
    }
  } finally {
    await client.end();
  }
  return found;

  function scopeOf(entity: Entity): string {
    if (entity.scope === 'global') return `id = ${account.userId}`;
    return entity.scope === 'account' ? `id = ${account.id}` : `account_id = ${account.id}`;
  }
}

function kindOf(entity: Entity, name: string): Kind | undefined {
  const column = entity.columns[name];
  if (!column || column.references !== undefined || entity.identity.includes(name))
    return undefined;
  if (['id', 'created_at', 'updated_at'].includes(name)) return undefined;
  if (LEFT_ALONE.has(`${entity.table}.${name}`) || !KINDS.includes(column.kind)) return undefined;
  return column.kind as Kind;
}
