#!/usr/bin/env node
// Runs SQL where there is no psql: node bin/sql.mjs <database URL> "<statement>"
import pg from 'pg';

const [url, statement] = process.argv.slice(2);
if (statement === undefined) {
  process.stderr.write('usage: sql <database URL> "<statement>"\n');
  process.exit(1);
}
const client = new pg.Client({ connectionString: url });
try {
  await client.connect();
  const results = [await client.query(statement)].flat();
  for (const { command, rowCount, rows } of results) {
    for (const row of rows) process.stdout.write(`${JSON.stringify(row)}\n`);
    process.stdout.write(`${command} ${rowCount ?? ''}\n`);
  }
} catch (error) {
  process.stderr.write(`${error.message}\n`);
  process.exitCode = 1;
} finally {
  await client.end();
}
