import { startRounds, type Running } from '../../platform/lifecycle.ts';
import type { Log } from '../../platform/log.ts';
import { isMediaKey } from '../../platform/media/key.ts';
import type { MediaStore } from '../../platform/media/store.ts';
import type { Database } from '../../platform/postgres.ts';
import { sql } from '../../platform/sql.ts';

/** Between two looks; nobody waits for it. */
const ROUND_MS = 60_000;
/** Objects removed by one transaction: as many as can go before its connection is missed. */
const BATCH = 100;

type Means = { readonly database: Database; readonly media: MediaStore; readonly log: Log };

/** Removes the bytes of files whose rows are gone, until stopped. Any number of workers may run. */
export function startMediaRemoval(means: Means): Running {
  return startRounds({
    everyMs: ROUND_MS,
    round: (signal) => removeMedia(means, signal),
    onError: (error) => means.log.warn({ error }, 'removing files failed'),
  });
}

/**
 * Gives how many went. The bytes go before the note that they should: after a crash in between they are asked to go once
 * more, which does no harm. @throws ClarinError `unavailable` when the store or Postgres is away.
 */
export async function removeMedia(
  { database, media, log }: Means,
  signal?: AbortSignal,
): Promise<number> {
  let removed = 0;
  for (;;) {
    const { value: batch } = await database.transaction(async (tx) => {
      const rows = await tx.query(sql`
        select id, object_key
        from private.media_removals
        order by id
        limit ${BATCH}
        for update skip locked`);
      for (const { object_key: key } of rows) {
        // Written by hand, perhaps: nothing of ours is there, and nobody else waits behind it.
        if (key && isMediaKey(key)) await media.delete(key);
        else log.warn({ key }, 'not a key of the media store');
      }
      await tx.query(sql`
        delete from private.media_removals
        where id = any(${rows.map((row) => Number(row['id']))}::bigint[])`);
      return rows.length;
    });
    removed += batch;
    if (batch < BATCH || signal?.aborted) return removed;
  }
}
