import type { Running } from '../../platform/lifecycle.ts';
import type { Log } from '../../platform/log.ts';
import { connectClient, queryClient } from '../../platform/postgres.ts';
import { ident, sql } from '../../platform/sql.ts';
import { createBell } from './bell.ts';
import type { Clock } from './clock.ts';

type Options<Note> = {
  readonly databaseUrl: string;
  readonly channel: string;
  /** Undefined for what none of ours wrote. */
  readonly parse: (payload: string) => Note | undefined;
  readonly clock: Clock;
  readonly log: Log;
  readonly onNote: (note: Note) => void;
  /** It listens, from now on or again: what was said before was not heard. */
  readonly onListening: () => void;
};

const RECONNECT_MS = 2_000;
/** A connection that is half open hears nothing and says nothing: it is asked. */
const ASK_EVERY_MS = 30_000;

/**
 * Hears what the API says, on a connection of its own, which is made again when it breaks. Nothing depends on it: whoever
 * waits for a note looks by himself, later.
 */
export function listenTo<Note>(options: Options<Note>): Running {
  const { databaseUrl, channel, parse, clock, log, onNote, onListening } = options;
  const stopping = new AbortController();
  const { signal } = stopping;
  const hear = async (): Promise<void> => {
    const client = await connectClient({ url: databaseUrl, applicationName: `${channel} notes` });
    const broken = createBell(clock);
    let isBroken = false;
    const onEnd = (): void => {
      isBroken = true;
      broken.ring();
    };
    client.on('end', onEnd);
    client.on('error', onEnd);
    client.on('notification', ({ payload }) => {
      const note = parse(payload ?? '');
      if (note) onNote(note);
    });
    try {
      await queryClient(client, sql`listen ${ident(channel)}`);
      onListening();
      while (!isBroken) {
        await broken.wait(ASK_EVERY_MS, signal);
        if (!isBroken) await queryClient(client, sql`select 1`);
      }
    } finally {
      await client.end().catch(() => undefined);
    }
  };
  const run = async (): Promise<void> => {
    while (!signal.aborted) {
      await hear().catch((error: unknown) => {
        if (!signal.aborted) log.warn({ error, channel }, 'notes are not heard');
      });
      await clock.sleep(RECONNECT_MS, signal).catch(() => undefined);
    }
  };
  const done = run();
  return {
    stop: async () => {
      stopping.abort();
      await done;
    },
  };
}
