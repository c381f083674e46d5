import { readMessage, textOf, type RelationMessage } from '../../replicator/pgoutput.ts';
import type { Database } from '../../platform/postgres.ts';
import { ident, sql } from '../../platform/sql.ts';

export type WalChanges = {
  /** Rows that were inserted, updated and deleted since it was last asked, by table, whoever wrote them. */
  take(): Promise<Record<string, number>>;
  /** The same row by row, of some tables, in order: `leads 17`, and `?` where a table has no id. */
  takeRows(tables: readonly string[]): Promise<string[]>;
};

let slots = 0;

/**
 * Row changes of all tables, published or not, as the write-ahead log has them. Unlogged tables are in no log. The slot
 * goes with the database.
 */
export async function watchWal(owner: Database): Promise<WalChanges> {
  const name = `changes_${process.pid}_${slots++}`;
  await owner.query(sql`create publication ${ident(name)} for all tables`);
  await owner.query(sql`select pg_create_logical_replication_slot(${name}, 'pgoutput')`);
  const relations = new Map<number, RelationMessage>();
  const read = async (): Promise<{ table: string; id: string }[]> => {
    const rows = await owner.query(sql`
      select encode(data, 'hex') as data
      from pg_logical_slot_get_binary_changes(${name}, null, null, 'proto_version', '1', 'publication_names', ${name})`);
    return rows.flatMap((row) => {
      const message = readMessage(Buffer.from(row['data'] ?? '', 'hex'));
      if (message.type === 'relation') relations.set(message.oid, message);
      if (message.type !== 'insert' && message.type !== 'update' && message.type !== 'delete')
        return [];
      const relation = relations.get(message.oid);
      const at = relation?.columns.findIndex((column) => column.name === 'id') ?? -1;
      const tuple = message.type === 'delete' ? message.old : message.row;
      const id = at < 0 ? '?' : (textOf(tuple, at) ?? '?');
      return [{ table: relation?.table ?? String(message.oid), id }];
    });
  };
  return {
    take: async () => {
      const changes: Record<string, number> = {};
      for (const { table } of await read()) changes[table] = (changes[table] ?? 0) + 1;
      return changes;
    },
    takeRows: async (tables) =>
      (await read()).flatMap(({ table, id }) => (tables.includes(table) ? [`${table} ${id}`] : [])),
  };
}
