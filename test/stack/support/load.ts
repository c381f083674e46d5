import { eventually } from '../../support/services.ts';
import { randomOf } from '../../soak/random.ts';
import type { Stack, TestAccount } from './stack.ts';

export type Load = { readonly writes: number; stop(): Promise<void> };

/**
 * Writers and readers at work on an account until told to stop: single statements, transactions over several tables,
 * rollbacks, deletes with their cascades, and reads through the cache that keep it warm. Failures of a service that is
 * just being broken are part of it.
 */
export function startLoad(stack: Stack, account: TestAccount, seed: number): Load {
  const random = randomOf(seed);
  let writes = 0;
  let isOver = false;
  const pick = `(select id from leads where account_id = ${account.id} order by random() limit 1)`;
  const pickTag = `(select id from tags where account_id = ${account.id} order by random() limit 1)`;
  const statements = [
    () => [
      `insert into tags (account_id, name) values (${account.id}, 'tag ' || gen_random_uuid())`,
    ],
    () => [`update leads set title = 'title ${random(1e6)}' where id = ${pick}`],
    () => [
      `update leads set value = ${random(1e6)}, notes = repeat('n', ${random(5_000)}) where id = ${pick}`,
    ],
    () => [
      `insert into contacts (account_id, name) values (${account.id}, 'c ${random(1e6)}')`,
      `insert into leads (account_id, contact_id, title) select account_id, id, name from contacts
       where account_id = ${account.id} order by id desc limit 1`,
    ],
    () => [
      `insert into lead_tags (account_id, lead_id, tag_id) select ${account.id}, lead.id, tag.id
       from (select ${pick} as id) as lead, (select ${pickTag} as id) as tag
       where lead.id is not null and tag.id is not null on conflict do nothing`,
    ],
    () => [`delete from leads where id = ${pick}`],
    () => [`delete from tags where id = ${pickTag}`],
    () => [
      // Of those that were there first: what one statement writes must not grow with the load, or logs are outrun.
      `update contacts set custom_name = 'n ${random(1e6)}' where id in (
         select id from contacts where account_id = ${account.id} order by id limit 50) and id % 7 = ${random(7)}`,
    ],
  ];
  const write = async (): Promise<void> => {
    while (!isOver) {
      const chosen = statements[random(statements.length)]?.() ?? [];
      try {
        await stack.transaction(chosen, random(10) === 0 ? 'rollback' : 'commit');
        writes++;
      } catch {
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    }
  };
  const paths = [
    '/api/leads',
    '/api/leads?limit=200',
    '/api/tags',
    '/api/contacts?sort=display_name&order=asc',
  ];
  const read = async (): Promise<void> => {
    while (!isOver) {
      await stack
        .request(account, `GET ${paths[random(paths.length)] ?? '/api/tags'}`)
        .catch(() => undefined);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  };
  const running = [write(), write(), write(), read(), read()];
  return {
    get writes() {
      return writes;
    },
    stop: async () => {
      isOver = true;
      await Promise.all(running);
    },
  };
}

/** Waits until the load has written `count` more times. */
export function untilWritten(load: Load, count: number): Promise<boolean> {
  const target = load.writes + count;
  return eventually(() => load.writes >= target, {
    timeoutMs: 60_000,
    says: `${count} more writes`,
  });
}

/** Every page and row the API may have cached, each as the cache says it and as Postgres says it. */
export async function findStaleReads(stack: Stack, account: TestAccount): Promise<string[]> {
  await stack.settle();
  const list = await stack.request(account, 'GET /api/leads?limit=200');
  const ids = (list.json['data'] as { id: number }[]).map((row) => row.id);
  const paths = [
    '/api/leads',
    '/api/leads?limit=200',
    '/api/tags',
    '/api/contacts?sort=display_name&order=asc',
    '/api/pipelines',
    ...ids.map((id) => `/api/leads/${id}`),
  ];
  const stale: string[] = [];
  for (const path of paths) {
    const cached = await stack.request(account, `GET ${path}`);
    const fresh = await stack.request(account, `GET ${path}`, undefined, {
      'clarin-min-commit': 'FFFFFFFF/FFFFFFFF',
    });
    if (cached.text !== fresh.text)
      stale.push(`${path}: ${cached.text.slice(0, 300)} is ${fresh.text.slice(0, 300)}`);
  }
  return stale;
}
