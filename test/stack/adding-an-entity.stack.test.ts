import { appendFile, cp, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { WebSocket } from 'ws';
import { eventually } from '../support/services.ts';
import { spawnRole } from '../support/spawn-role.ts';
import { startStack, type Stack } from './support/stack.ts';

const SOURCES = [
  'bin',
  'domain',
  'platform',
  'server',
  'replicator',
  'migrations',
  'package.json',
  'tsconfig.json',
];

const MIGRATION = `-- Not breaking. Locks: none but on what it makes.
create table public.offices (
  id bigint generated always as identity (maxvalue 9007199254740991) primary key,
  account_id bigint not null references public.accounts on delete cascade,
  name text not null check (char_length(name) between 1 and 200),
  city text check (char_length(city) <= 100),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint offices_identity unique (account_id, id)
);
create index offices_name on public.offices (account_id, name, id);
create index offices_created_at on public.offices (account_id, created_at, id);
select clarin.guard_table('public.offices', '{city}');
grant select, insert, update, delete on public.offices to clarin_api;
grant select on public.offices to clarin_replicator;
`;

/** The three files of docs/adding-an-entity.md, put into a copy of the program. */
describe('adding an entity', () => {
  let copy: string;
  let stack: Stack;
  let program: string;

  beforeAll(async () => {
    copy = await mkdtemp(join(tmpdir(), 'clarin-entity-'));
    for (const name of SOURCES) await cp(name, join(copy, name), { recursive: true });
    await symlink(resolve('node_modules'), join(copy, 'node_modules'));
    await writeFile(join(copy, 'domain/entities/offices.ts'), await declaration());
    await writeFile(join(copy, 'migrations/000900_offices.sql'), MIGRATION);
    const registry = join(copy, 'domain/registry.ts');
    const text = await readFile(registry, 'utf8');
    await writeFile(registry, text.replace('\n];', '\n  offices,\n];'));
    await appendFile(registry, `import { offices } from './entities/offices.ts';\n`);
    program = join(copy, 'bin/clarin.mjs');
    stack = await startStack({
      prepare: async (_sql, database) => {
        const environment = {
          DATABASE_URL: database.ownerUrl,
          MIGRATE_DATABASE_URL: database.ownerUrl,
        };
        const migrated = await spawnRole('migrate', environment, { until: 'nothing', program });
        const { code } = await migrated.exited;
        if (code !== 0) throw new Error(`migrate ended with ${code}`);
      },
      program,
    });
  });
  afterAll(async () => {
    await stack.close();
    await rm(copy, { recursive: true, force: true });
  });

  /** The very declaration that the document shows. */
  async function declaration(): Promise<string> {
    const page = await readFile('docs/adding-an-entity.md', 'utf8');
    const code = /```ts\n([\s\S]*?)```/.exec(page)?.[1] ?? '';
    return code.replaceAll(/^ {3}/gm, '');
  }

  it('gives routes, the cache and the feed from three files', async () => {
    const [account, other] = stack.accounts;
    const socket = new WebSocket(`${stack.replicator.url.replace('http', 'ws')}/feed`);
    const frames: Record<string, unknown>[] = [];
    socket.on('message', (data: Buffer) =>
      frames.push(JSON.parse(data.toString('utf8')) as Record<string, unknown>),
    );
    socket.on('open', () => {
      socket.send(JSON.stringify({ type: 'hello', version: 1, token: account.token }));
      socket.send(
        JSON.stringify({
          type: 'subscribe',
          id: 'o',
          tables: [{ table: 'offices', where: { city: 'Lima' } }],
        }),
      );
    });
    await eventually(() => frames.some((frame) => frame['type'] === 'subscribed'));

    const made = await stack.request(account, 'POST /api/offices', {
      name: 'Centre',
      city: 'Lima',
    });
    expect(made.status).toBe(201);
    await eventually(() => frames.some((frame) => frame['type'] === 'commit'));
    await stack.settle();
    const read = async () =>
      (await stack.request(account, 'GET /api/offices?search=cent')).headers.get('clarin-cache');
    // On a busy machine a lease may be over for a moment.
    await eventually(async () => (await read()) === 'hit', { says: 'the list is cached' });
    expect((await stack.request(other, 'GET /api/offices')).json['total']).toBe(0);

    const client = new pg.Client({ connectionString: stack.database.ownerUrl });
    await client.connect();
    await client.query(`update offices set city = 'Cusco'`);
    await client.end();
    // A heartbeat may come behind it.
    const commits = () => frames.filter((frame) => frame['type'] === 'commit');
    await eventually(() => commits().length === 2);
    expect(commits().at(-1)).toMatchObject({ changes: [{ table: 'offices', op: 'delete' }] });
    socket.terminate();
  });
});
