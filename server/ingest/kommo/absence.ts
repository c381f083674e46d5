import { noteApplied } from './apply-page.ts';
import { applyLook, askForIds, askForOne, buryGone } from './fetch-ids.ts';
import { lookAt, write, type Session } from './session.ts';
import type { Entity } from './sort-events.ts';
import { isBelievable, isHopeless } from './sweep-limits.ts';

/** Rows of ours that a look at all of them did not find over there. JSON: it outlives the process. */
export type Absence = {
  /** Looked for, found or not. */
  readonly looked: number;
  /** Not in the lists; each is to be asked for alone. */
  readonly missing: readonly number[];
  /** Not there alone either. */
  readonly gone: readonly number[];
};

export const NO_ABSENCE: Absence = { looked: 0, missing: [], gone: [] };

/** Ids of one request. */
export const IDS_MAX = 100;

/** Looks for up to a hundred rows by one request. `doesApply`: what is found is written, too. @throws as lookForIds. */
export async function lookForSome(
  session: Session,
  absence: Absence,
  { entity, ids, doesApply }: { entity: Entity; ids: readonly number[]; doesApply: boolean },
): Promise<Absence> {
  const { value: found, at } = await lookAt(session, () =>
    askForIds(session, { entity, ids, lane: 'sweep' }),
  );
  const shown = new Set(found[entity].map((row: { readonly id: number }) => row.id));
  if (doesApply) await applyLook(session, { entity, at, found, gone: [] }, { lane: 'sweep' });
  const missing = [...absence.missing, ...ids.filter((id) => !shown.has(id))];
  return { ...absence, looked: absence.looked + ids.length, missing };
}

/** So many are missing that nobody has deleted them; `isWhole`: all were looked for. */
export function isSuspicious({ missing, looked }: Absence, isWhole: boolean): boolean {
  return isHopeless(missing.length) || (isWhole && !isBelievable(missing.length, looked));
}

/**
 * Asks for the next of the missing, alone: it may be there, and late in the lists. Once none is left, what is gone is
 * marked, all by one transaction, and undefined is given. Only after all of ours were looked for, and not suspicious.
 */
export async function confirmNext(
  session: Session,
  entity: Entity,
  absence: Absence,
): Promise<Absence | undefined> {
  const [id, ...missing] = absence.missing;
  if (id !== undefined) {
    const { value, at } = await lookAt(session, () =>
      askForOne(session, { entity, id, lane: 'sweep' }),
    );
    const { lead, contact } = value;
    if (!lead && !contact) return { ...absence, missing, gone: [...absence.gone, id] };
    const found = { lead: lead ? [lead] : [], contact: contact ? [contact] : [] };
    await applyLook(session, { entity, at, found, gone: [] }, { lane: 'sweep' });
    return { ...absence, missing };
  }
  if (absence.gone.length > 0) {
    const changed = await write(session, (tx) => buryGone(session, tx, entity, absence.gone));
    noteApplied(session, entity, { changed, unchanged: 0 });
    session.log.info({ entity, count: changed }, 'rows that are no longer in Kommo are marked');
  }
  return undefined;
}

const NAMES: Readonly<Record<Entity, string>> = { lead: 'leads', contact: 'contacts' };

/** For people. */
function sayAbsence(entity: Entity): string {
  return `Many ${NAMES[entity]} can no longer be seen in Kommo, more than were deleted. Were the rights of whoever connected it narrowed? Nothing was deleted here.`;
}

/** Stops a look at everything, loudly; what is said to people. */
export function alarm(session: Session, entity: Entity, absence: Absence): string {
  const { log, metrics } = session;
  const fields = { entity, missing: absence.missing.length, looked: absence.looked };
  log.error(fields, 'so many rows are missing in Kommo that nothing is believed to be deleted');
  metrics.kommoSweepsStopped.inc();
  return sayAbsence(entity);
}
