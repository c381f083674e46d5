import { ClarinError, ERRORS } from '../../../domain/errors.ts';
import type { Queries } from '../../../platform/postgres.ts';
import { applyKommoContacts } from '../../commands/apply-kommo-contacts.ts';
import { applyKommoLeads } from '../../commands/apply-kommo-leads.ts';
import type { Applied } from '../../commands/apply-kommo-looks.ts';
import { missingKommoContacts } from '../../commands/known-kommo.ts';
import { noteKommoChange } from '../../commands/set-kommo-status.ts';
import type { KommoContact, KommoLead } from '../../kommo/documents.ts';
import type { Lane } from '../../kommo/limiter.ts';
import { mainContactOf } from '../../kommo/map-lead.ts';
import type { UpdatedRow } from './keyset.ts';
import { knowReferences } from './pass-reference.ts';
import type { LookedAt } from './seen-rows.ts';
import { isOfRows, lookAt, write, type Looked, type Session } from './session.ts';
import type { Entity } from './sort-events.ts';

/** What a lead must come with: its contacts and why it was lost. */
export const LEAD_WITH = ['contacts', 'loss_reason'] as const;

/** People are told once a minute that something changed. */
const TOLD_EVERY_MS = 60_000;

export type PageMeans = {
  /** When the rows were looked at. */
  readonly at: LookedAt;
  /** For what else has to be fetched. */
  readonly lane: Lane;
  /** In the transaction of the last rows: what they are the end of. `hasChanged`: something of this page was written. */
  readonly also?: ((tx: Queries, hasChanged: boolean) => Promise<void>) | undefined;
};

type Part<T> = {
  readonly entity: Entity;
  readonly rows: readonly T[];
  readonly apply: (tx: Queries, rows: readonly T[]) => Promise<Applied>;
  /** What must be known before, fetched outside of the transaction. */
  readonly prepare?: (rows: readonly T[]) => Promise<void>;
  readonly onWritten?: () => void;
  /** What it needs was looked for a second time. */
  readonly isAgain?: boolean;
};

const NOTHING: Applied = { changed: 0, unchanged: 0 };

/** Writes a page of contacts. @throws KommoError, ClarinError, LeaseLost: then `also` was not done. */
export function applyContacts(
  session: Session,
  rows: readonly KommoContact[],
  means: PageMeans,
): Promise<Applied> {
  const apply: Part<KommoContact>['apply'] = (tx, part) =>
    applyKommoContacts(tx, session.scope, part);
  return applyPart(session, { entity: 'contact', rows, apply }, means);
}

/**
 * Writes a page of leads, with the contacts that it names and nobody knows yet: both by one transaction. A contact that
 * Kommo does not show (of a lead that nobody has accepted) is as if there were none.
 * @throws KommoError, ClarinError, LeaseLost: then `also` was not done.
 */
export async function applyLeads(
  session: Session,
  rows: readonly KommoLead[],
  means: PageMeans,
): Promise<Applied> {
  const { scope, client, database, signal, seen } = session;
  await knowReferences(session, rows, means.lane);
  let absent: number[] = [];
  let waiting: number[] = [];
  let fetched: Looked<{ readonly rows: readonly KommoContact[] }> | undefined;
  const prepare = async (part: readonly KommoLead[]) => {
    const cancelled = {
      query: (text: Parameters<Queries['query']>[0]) => database.query(text, { signal }),
    };
    const missing = await missingKommoContacts(cancelled, scope, part);
    absent = [];
    waiting = [];
    fetched = undefined;
    if (missing.length === 0) return;
    const filter = { ids: missing };
    fetched = await lookAt(session, () => client.contacts({ filter }, means.lane));
    const shown = new Set(fetched.value.rows.map((contact) => contact.id));
    absent = missing.filter((id) => !shown.has(id));
    const isAbsent = new Set<number | undefined>(absent);
    waiting = part.filter((lead) => isAbsent.has(mainContactOf(lead))).map(({ id }) => id);
  };
  const apply: Part<KommoLead>['apply'] = async (tx, part) => {
    if (fetched) await applyKommoContacts(tx, scope, fetched.value.rows);
    return applyKommoLeads(tx, scope, part, { absentContacts: absent });
  };
  const onWritten = (): void => {
    if (fetched) seen.contact.note(fetched.value.rows, fetched.at);
    // A contact may be in the lists later than its lead: as long as passes go back to that one, it is looked at again.
    seen.lead.forget(waiting);
  };
  return applyPart(session, { entity: 'lead', rows, apply, prepare, onWritten }, means);
}

/**
 * One transaction, or, when something about one of the rows is refused, two of half of them each: in the end that row is
 * alone, and left out. The others are not to wait for it.
 */
async function applyPart<T extends UpdatedRow>(
  session: Session,
  part: Part<T>,
  means: PageMeans,
): Promise<Applied> {
  const { entity, rows, apply, prepare, onWritten } = part;
  const { at, also } = means;
  const seen = session.seen[entity];
  try {
    await prepare?.(rows);
    const applied = await write(session, async (tx) => {
      // Somebody may have looked at some of them again while this page waited for its turn.
      const { current, doubtful } = seen.sift(rows, at);
      for (const id of doubtful) session.doubts[entity].add(id);
      const done = current.length > 0 ? await apply(tx, current) : NOTHING;
      if (done.changed > 0) await tell(session, tx);
      await also?.(tx, done.changed > 0);
      return { done, current };
    });
    seen.note(applied.current, at);
    onWritten?.();
    noteApplied(session, entity, applied.done);
    return applied.done;
  } catch (error) {
    if (!isOfRows(error) || rows.length === 0) throw error;
    // A contact that was known when we looked may have been deleted since: it is fetched.
    if (prepare && !part.isAgain) return applyPart(session, { ...part, isAgain: true }, means);
    if (rows.length === 1) return leaveOut(session, part, { ...means, error });
    const middle = Math.ceil(rows.length / 2);
    const halves = [rows.slice(0, middle), rows.slice(middle)] as const;
    const first = await applyPart(
      session,
      { ...part, rows: halves[0] },
      { ...means, also: undefined },
    );
    const rest = await applyPart(
      session,
      { ...part, rows: halves[1] },
      {
        ...means,
        also: also && ((tx, hasChanged) => also(tx, hasChanged || first.changed > 0)),
      },
    );
    return { changed: first.changed + rest.changed, unchanged: first.unchanged + rest.unchanged };
  }
}

/** The row is looked at again when it changes over there, and by the next reading of everything. */
async function leaveOut<T extends UpdatedRow>(
  session: Session,
  part: Part<T>,
  { error, ...means }: PageMeans & { error: unknown },
): Promise<Applied> {
  const { entity, rows } = part;
  // It is not this row that takes long.
  if (error instanceof ClarinError && ERRORS[error.code].retry) throw error;
  session.log.error({ error, entity, kommo_id: rows[0]?.id }, 'a row of Kommo is left out');
  session.metrics.kommoRows.inc({ entity, outcome: 'refused' });
  session.seen[entity].note(rows, means.at);
  return applyPart(session, { ...part, rows: [] }, means);
}

async function tell(session: Session, tx: Queries): Promise<void> {
  const nowMs = session.clock.elapsed();
  if (nowMs - session.toldAtMs < TOLD_EVERY_MS) return;
  await noteKommoChange(tx, session.scope);
  session.toldAtMs = nowMs;
}

/** Counts what was written, and keeps the connection active. */
export function noteApplied(
  session: Session,
  entity: Entity,
  { changed, unchanged }: Applied,
): void {
  session.metrics.kommoRows.inc({ entity, outcome: 'changed' }, changed);
  session.metrics.kommoRows.inc({ entity, outcome: 'unchanged' }, unchanged);
  if (changed > 0) session.changedAtMs = session.clock.elapsed();
}
