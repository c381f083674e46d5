import { noteWatched } from '../../platform/kommo-notes.ts';
import { startRounds, type Running } from '../../platform/lifecycle.ts';
import type { Log } from '../../platform/log.ts';
import type { Queries } from '../../platform/postgres.ts';
import type { Hub } from './hub.ts';

/** A page that opens is noted within this time; a note is good for two minutes. */
const NOTE_EVERY_MS = 10_000;

type Options = { readonly hub: Hub; readonly database: Queries; readonly log: Log };

/**
 * Tells the Kommo workers whose leads somebody looks at: those accounts are read every few seconds also when nothing has
 * happened there for a while. A notification is in no WAL and no table.
 */
export function startWatchNotes({ hub, database, log }: Options): Running {
  return startRounds({
    everyMs: NOTE_EVERY_MS,
    round: async () => {
      const accountIds = hub.accountsWatching('leads');
      if (accountIds.length > 0) await noteWatched(database, accountIds);
    },
    onError: (error) =>
      log.debug({ error }, 'the Kommo workers were not told which accounts are watched'),
  });
}
