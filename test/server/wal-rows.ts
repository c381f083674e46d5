import { readMessage, textOf, type RelationMessage } from '../../replicator/pgoutput.ts';
import type { Database } from '../../platform/postgres.ts';
import { ident, sql } from '../../platform/sql.ts';

export type WalRows = {
  /** `leads 17` for each time that row was inserted, updated or deleted since it was last asked, whoever did it; in order. */
  take(): Promise<string[]>;
};

let slots = 0;

/** Row by row what watchWal counts; `?` where a table has no id. The slot goes with the database. */
export async function watchWalRows(owner: Database, tables: readonly string[]): Promise<WalRows> {
  const name = `rows_${process.pid}_${slots++}`;
  await owner.query(sql`create publication ${ident(name)} for all tables`);
  await owner.query(sql`select pg_create_logical_replication_slot(${name}, 'pgoutput')`);
  const relations = new Map<number, RelationMessage>();
  return {
    take: async () => {
      const rows = await owner.query(sql`
        select encode(data, 'hex') as data
        from pg_logical_slot_get_binary_changes(${name}, null, null, 'proto_version', '1', 'publication_names', ${name})`);
      return rows.flatMap((row) => {
        const message = readMessage(Buffer.from(row['data'] ?? '', 'hex'));
        if (message.type === 'relation') relations.set(message.oid, message);
        const isRow =
          message.type === 'insert' || message.type === 'update' || message.type === 'delete';
        if (!isRow) return [];
        const relation = relations.get(message.oid);
        if (!relation || !tables.includes(relation.table)) return [];
        const at = relation.columns.findIndex((column) => column.name === 'id');
        const tuple = message.type === 'delete' ? message.old : message.row;
        return [`${relation.table} ${at < 0 ? '?' : textOf(tuple, at)}`];
      });
    },
  };
}
