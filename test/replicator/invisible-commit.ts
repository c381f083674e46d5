import type pg from 'pg';
import { eventually } from '../support/services.ts';
import { connect, one } from './support.ts';

/**
 * With `synchronous_standby_names` set to a standby nobody is, a commit flushes its record to the WAL, where the slot shows
 * it, and then hangs before any other session can see it. That makes hazard H8 happen every time. An empty name lets go.
 */
export async function setStandby(admin: pg.Client, name: string): Promise<void> {
  await admin.query(`alter system set synchronous_standby_names = '${name}'`);
  await admin.query('select pg_reload_conf()');
  await eventually(
    async () =>
      (await one(admin, 'show synchronous_standby_names'))['synchronous_standby_names'] === name,
  );
}

/** A commit that hangs behind its WAL record. Resolves when it does; `done` when it is let go. */
export async function commitInvisibly(
  admin: pg.Client,
  url: string,
  write: (client: pg.Client) => Promise<unknown>,
): Promise<{ done: Promise<unknown>; client: pg.Client }> {
  await setStandby(admin, 'nobody');
  const client = await connect(url);
  const { pid } = await one(client, 'select pg_backend_pid() as pid');
  const done = write(client);
  done.catch(() => undefined);
  await eventually(async () => {
    const row = await one(
      admin,
      `select count(*)::int as n from pg_stat_activity where wait_event = 'SyncRep' and pid = $1`,
      [pid],
    );
    return row['n'] === 1;
  });
  return { done, client };
}
