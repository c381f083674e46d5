import type { Database } from '../../platform/postgres.ts';
import { ident, sql } from '../../platform/sql.ts';

export type WalChanges = {
  /** Rows that were inserted, updated and deleted since it was last asked, by table, whoever wrote them. */
  take(): Promise<Record<string, number>>;
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
  return {
    take: async () => {
      const rows = await owner.query(sql`
        select encode(data, 'hex') as data
        from pg_logical_slot_get_binary_changes(${name}, null, null, 'proto_version', '1', 'publication_names', ${name})`);
      const tables = new Map<number, string>();
      const changes: Record<string, number> = {};
      for (const row of rows) {
        const data = Buffer.from(row['data'] ?? '', 'hex');
        const kind = String.fromCharCode(data[0] ?? 0);
        const id = data.length >= 5 ? data.readUInt32BE(1) : 0;
        if (kind === 'R') {
          const schemaEnd = data.indexOf(0, 5);
          tables.set(id, data.toString('utf8', schemaEnd + 1, data.indexOf(0, schemaEnd + 1)));
        }
        if (!'IUD'.includes(kind)) continue;
        const table = tables.get(id) ?? String(id);
        changes[table] = (changes[table] ?? 0) + 1;
      }
      return changes;
    },
  };
}
