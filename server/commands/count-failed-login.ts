import type { Queries } from '../../platform/postgres.ts';
import { sql } from '../../platform/sql.ts';

const FAILED_LOGINS_MAX = 5;
const LOCK_MINUTES = 15;

/** A password was wrong: the fifth failure in a row locks the user. Counting begins anew when a lock has ended. */
export async function countFailedLogin(tx: Queries, userId: number): Promise<void> {
  await tx.query(sql`
    update public.users as person
    set failed_logins = counted.failures,
      locked_until = case
        when counted.failures >= ${FAILED_LOGINS_MAX} then now() + make_interval(mins => ${LOCK_MINUTES})
      end
    from (
      select id, case when locked_until <= now() then 1 else failed_logins + 1 end as failures
      from public.users
      where id = ${userId}
      for update
    ) as counted
    where person.id = counted.id`);
}

/** A password was right: earlier failures are forgotten. Writes nothing when there were none. */
export async function forgetFailedLogins(tx: Queries, userId: number): Promise<void> {
  await tx.query(sql`
    update public.users
    set failed_logins = 0, locked_until = null
    where id = ${userId} and (failed_logins <> 0 or locked_until is not null)`);
}
