import { ClarinError, ERRORS } from '../../../domain/errors.ts';
import type { Queries } from '../../../platform/postgres.ts';
import { applyKommoContacts } from '../../commands/apply-kommo-contacts.ts';
import { applyKommoLeads } from '../../commands/apply-kommo-leads.ts';
import type { Applied } from '../../commands/apply-kommo-looks.ts';
import { missingKommoContacts } from '../../commands/known-kommo.ts';
import { noteKommoChange } from '../../commands/set-kommo-status.ts';
import type { KommoContact, KommoLead } from '../../kommo/documents.ts';
import type { Lane } from '../../kommo/limiter.ts';
import { knowReferences } from './pass-reference.ts';
import { isOfRows, write, type Session } from './session.ts';
import type { Entity } from './sort-events.ts';

/** What a lead must come with: its contacts and why it was lost. */
export const LEAD_WITH = ['contacts', 'loss_reason'] as const;

/** People are told once a minute that something changed. */
const TOLD_EVERY_MS = 60_000;

type Means = {
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
};

const NOTHING: Applied = { changed: 0, unchanged: 0 };

/** Writes a page of contacts. @throws KommoError, ClarinError, LeaseLost: then `also` was not done. */
export function applyContacts(
  session: Session,
  rows: readonly KommoContact[],
  means: Means,
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
  means: Means,
): Promise<Applied> {
  const { scope, client, database, signal, seen } = session;
  await knowReferences(session, rows, means.lane);
  let absent: number[] = [];
  let fetched: readonly KommoContact[] = [];
  const prepare = async (part: readonly KommoLead[]) => {
    const cancelled = {
      query: (text: Parameters<Queries['query']>[0]) => database.query(text, { signal }),
    };
    const missing = await missingKommoContacts(cancelled, scope, part);
    absent = [];
    fetched = [];
    if (missing.length === 0) return;
    const page = await client.contacts({ filter: { ids: missing } }, means.lane);
    fetched = page.rows;
    const shown = new Set(fetched.map((contact) => contact.id));
    absent = missing.filter((id) => !shown.has(id));
  };
  const apply: Part<KommoLead>['apply'] = async (tx, part) => {
    if (fetched.length > 0) await applyKommoContacts(tx, scope, fetched);
    return applyKommoLeads(tx, scope, part, { absentContacts: absent });
  };
  const onWritten = (): void => seen.contact.note(fetched);
  return applyPart(session, { entity: 'lead', rows, apply, prepare, onWritten }, means);
}

/**
 * One transaction, or, when something about one of the rows is refused, two of half of them each: in the end that row is
 * alone, and left out. The others are not to wait for it.
 */
async function applyPart<T extends { readonly id: number }>(
  session: Session,
  part: Part<T>,
  { lane, also }: Means,
): Promise<Applied> {
  const { entity, rows, apply, prepare, onWritten } = part;
  try {
    await prepare?.(rows);
    const applied = await write(session, async (tx) => {
      const done = rows.length > 0 ? await apply(tx, rows) : NOTHING;
      if (done.changed > 0) await tell(session, tx);
      await also?.(tx, done.changed > 0);
      return done;
    });
    session.seen[entity].note(rows);
    onWritten?.();
    noteApplied(session, entity, applied);
    return applied;
  } catch (error) {
    if (!isOfRows(error) || rows.length === 0) throw error;
    if (rows.length === 1) return leaveOut(session, part, { error, lane, also });
    const middle = Math.ceil(rows.length / 2);
    const first = await applyPart(session, { ...part, rows: rows.slice(0, middle) }, { lane });
    const rest = await applyPart(
      session,
      { ...part, rows: rows.slice(middle) },
      { lane, also: also && ((tx, hasChanged) => also(tx, hasChanged || first.changed > 0)) },
    );
    return { changed: first.changed + rest.changed, unchanged: first.unchanged + rest.unchanged };
  }
}

/** The row is looked at again when it changes over there, and by the next reading of everything. */
async function leaveOut<T extends { readonly id: number }>(
  session: Session,
  part: Part<T>,
  { error, ...means }: Means & { error: unknown },
): Promise<Applied> {
  const { entity, rows } = part;
  // It is not this row that takes long.
  if (error instanceof ClarinError && ERRORS[error.code].retry) throw error;
  session.log.error({ error, entity, kommo_id: rows[0]?.id }, 'a row of Kommo is left out');
  session.metrics.kommoRows.inc({ entity, outcome: 'refused' });
  session.seen[entity].note(rows);
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
