import { z } from 'zod';
import type { Queries } from '../../../platform/postgres.ts';
import { saveKommoCursor, type KommoCursor } from '../../commands/kommo-cursors.ts';
import { firstCursor, isAhead } from './keyset.ts';
import { beginReading, type Reading } from './read-updated.ts';
import { write, type ListName, type ListState, type Session } from './session.ts';

const LISTS: readonly ListName[] = ['contacts', 'leads', 'deleted', 'events'];

const stored = z.object({ cursor: z.int().nonnegative() });

/**
 * Where each list goes on: where it stood, or, the first time, a little before now. What was there before is read by the
 * reading of everything, which begins after this. @throws KommoError, ClarinError, LeaseLost.
 */
export async function openLists(session: Session): Promise<void> {
  const { lists, cursors, client, clock } = session;
  const nowMs = clock.elapsed();
  for (const name of LISTS) {
    const state = lists.get(name) ?? readList(cursors.get(name), { nowMs, unixMs: clock.now() });
    if (state) lists.set(name, state);
  }
  const missing = LISTS.filter((name) => !lists.has(name));
  if (missing.length === 0) return;
  // Any list says what time it is over there.
  const { serverSeconds } = await client.leads({ limit: 1 }, 'poll');
  const cursor = firstCursor(serverSeconds);
  await write(session, async (tx) => {
    for (const name of missing) await saveKommoCursor(tx, session.scope, name, { cursor });
  });
  for (const name of missing)
    lists.set(name, { reading: beginReading(cursor), savedCursor: cursor, savedAtMs: nowMs });
}

function readList(
  saved: KommoCursor | undefined,
  { nowMs, unixMs }: { nowMs: number; unixMs: number },
): ListState | undefined {
  const position = stored.safeParse(saved?.position);
  if (!saved || !position.success) return undefined;
  const { cursor } = position.data;
  // The clock of the database; a difference of seconds does not matter.
  const savedAtMs = nowMs - Math.max(0, unixMs - saved.savedAtMs);
  return { reading: beginReading(cursor), savedCursor: cursor, savedAtMs };
}

/** A cursor that only followed the time is saved so seldom: after a crash it costs no more than a longer pass. */
const SAVED_EVERY_MS = 30 * 60_000;

type Move = {
  readonly savedCursor: number;
  readonly savedAtMs: number;
  readonly cursor: number;
  readonly nowMs: number;
  /** The pass has written something. */
  readonly hasChanged: boolean;
};

/**
 * Whether a cursor is worth a write. Behind a change it is; where nothing changed a pass writes nothing, but for a sign of
 * life now and then, by which a gap is known.
 */
export function isWorthSaving(move: Move): boolean {
  if (move.nowMs - move.savedAtMs >= SAVED_EVERY_MS) return true;
  return move.hasChanged && move.cursor !== move.savedCursor;
}

export type Reached = {
  readonly name: ListName;
  readonly state: ListState;
  readonly cursor: number;
  readonly hasChanged: boolean;
};

/** Moves the saved cursor, where that is worth a write; gives what was saved, for `noteSaved` after the commit. */
export async function saveReached(
  session: Session,
  reached: Reached | undefined,
  tx: Queries,
): Promise<Reached | undefined> {
  if (!reached || !isDue(session, reached)) return undefined;
  await saveKommoCursor(tx, session.scope, reached.name, { cursor: reached.cursor });
  return reached;
}

export function noteSaved({ clock }: Session, saved: Reached | undefined): void {
  if (!saved) return;
  saved.state.savedCursor = saved.cursor;
  saved.state.savedAtMs = clock.elapsed();
}

/** The same by a transaction of its own, behind a page that had nothing to write. */
export async function saveAlone(session: Session, reached: Reached | undefined): Promise<void> {
  if (!reached || !isDue(session, reached)) return;
  noteSaved(session, await write(session, (tx) => saveReached(session, reached, tx)));
}

/**
 * The reading as the next pass finds it, its cursor put right where it is ahead of time: then what changed meanwhile was not
 * found, and false is given.
 */
export function putRight(
  { clock, log }: Session,
  state: ListState,
  { reading, serverSeconds }: { reading: Reading; serverSeconds: number },
): boolean {
  const { cursor } = reading;
  const isLost = isAhead(cursor, { serverSeconds, ourSeconds: clock.now() / 1_000 });
  state.reading = isLost ? { ...reading, cursor: firstCursor(serverSeconds) } : reading;
  if (isLost) log.warn({ cursor, serverSeconds }, 'a Kommo cursor was ahead of time');
  return !isLost;
}

function isDue({ clock }: Session, { state, cursor, hasChanged }: Reached): boolean {
  const { savedCursor, savedAtMs } = state;
  return isWorthSaving({ savedCursor, savedAtMs, cursor, hasChanged, nowMs: clock.elapsed() });
}
