import { tombstoneKommo } from '../../commands/tombstone-kommo.ts';
import type { KommoEvent } from '../../kommo/documents.ts';
import { noteApplied } from './apply-page.ts';
import { applyLook, lookForIds } from './fetch-ids.ts';
import { nextCursor } from './keyset.ts';
import { putRight, saveAlone } from './lists.ts';
import { write, type ListState, type Session } from './session.ts';
import { EVENT_TYPES, isDeletion, sortEvents, type SortedEvents } from './sort-events.ts';

/** Seconds that a pass goes back: events may be late, and come in no order. */
const OVERLAP_SECONDS = 60;
/** Of a page: more are documented now, and were not before. A page that is shorter than asked for would look like the last. */
const PAGE_ROWS = 100;
/** Pages of one pass, 10,000 events. What is beyond is found by the reading of everything. */
const PAGES_MAX = 100;

/** Ids of events that are remembered, the newest last. */
const KNOWN_MAX = 20_000;
/** So long lists may show a row as it was before its event. */
const LATE_MS = 5_000;

/** When each event was first seen, by the clock; undefined: it was dealt with. */
export type EventsKnown = Map<string, number | undefined>;

/**
 * Deletions, and what an edit's moment may not tell of: tags, links, merges. What is told of is looked at in the pass that
 * sees it, and once more in the next one: lists may be late. Gives false when there were more events than a pass reads, or some were not found.
 * @throws KommoError, ClarinError, LeaseLost: the next pass does it again.
 */
export async function passEvents(session: Session, known: EventsKnown): Promise<boolean> {
  const state = session.lists.get('events');
  if (!state) throw new Error('the list of events is not open');
  const nowMs = session.clock.elapsed();
  const { events, serverSeconds, isWhole } = await readEvents(session, state);
  const fresh = events.filter(({ id }) => !known.has(id) || known.get(id) !== undefined);
  const hasChanged = await dealWith(session, sortEvents(fresh));
  const newest = events.map((event) => event.created_at);
  const cursor = nextCursor(state.reading.cursor, {
    maxSeen: newest.length > 0 ? Math.max(...newest) : undefined,
    serverSeconds,
  });
  await saveAlone(session, { name: 'events', state, cursor, hasChanged });
  for (const { id, type } of fresh) {
    const seenAtMs = known.get(id) ?? nowMs;
    const isDone = isDeletion(type) || nowMs - seenAtMs >= LATE_MS;
    known.set(id, isDone ? undefined : seenAtMs);
  }
  for (const id of known.keys()) {
    if (known.size <= KNOWN_MAX) break;
    known.delete(id);
  }
  const reading = { ...state.reading, cursor, number: state.reading.number + 1 };
  return putRight(session, state, { reading, serverSeconds }) && isWhole;
}

async function readEvents(
  { client }: Session,
  { reading }: ListState,
): Promise<{ events: KommoEvent[]; serverSeconds: number; isWhole: boolean }> {
  const events = new Map<string, KommoEvent>();
  const filter = { types: EVENT_TYPES, createdFrom: Math.max(0, reading.cursor - OVERLAP_SECONDS) };
  let first: number | undefined;
  for (let page = 1; page <= PAGES_MAX; page++) {
    const { rows, serverSeconds, isFull } = await client.events(
      { page, limit: PAGE_ROWS, filter },
      'poll',
    );
    first ??= serverSeconds;
    for (const event of rows) events.set(event.id, event);
    if (!isFull) return { events: [...events.values()], serverSeconds: first, isWhole: true };
  }
  return { events: [...events.values()], serverSeconds: first ?? 0, isWhole: false };
}

/** What changed is fetched, what was deleted is marked. Gives whether anything was written. */
async function dealWith(session: Session, { deleted, changed }: SortedEvents): Promise<boolean> {
  let written = 0;
  for (const entity of ['contact', 'lead'] as const) {
    const look = await lookForIds(session, { entity, ids: [...changed[entity]], lane: 'poll' });
    written += await applyLook(session, look, { lane: 'poll' });
    if (deleted[entity].size === 0) continue;
    const buried = await write(session, async (tx) => {
      let count = 0;
      for (const [at, ids] of byTime(deleted[entity]))
        count += await tombstoneKommo(tx, session.scope, { entity, ids, at });
      return count;
    });
    session.seen[entity].forget([...deleted[entity].keys()]);
    noteApplied(session, entity, { changed: buried, unchanged: 0 });
    written += buried;
  }
  return written > 0;
}

function byTime(deleted: ReadonlyMap<number, number>): Map<number, number[]> {
  const grouped = new Map<number, number[]>();
  for (const [id, at] of deleted) grouped.set(at, [...(grouped.get(at) ?? []), id]);
  return grouped;
}
