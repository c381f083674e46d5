import { z } from 'zod';
import type { Queries } from '../../../platform/postgres.ts';
import { deleteKommoCursor, saveKommoCursor } from '../../commands/kommo-cursors.ts';
import { listKnownKommoIds } from '../../commands/known-kommo.ts';
import { beginFullSync, endFullSync, noteFullSync } from '../../commands/set-kommo-status.ts';
import { alarm, confirmNext, IDS_MAX, isSuspicious, lookForSome, type Absence } from './absence.ts';
import { applyContacts, applyLeads, LEAD_WITH, type PageMeans } from './apply-page.ts';
import { isTold, type JobReason, type Loaded } from './choose-job.ts';
import { beginIdWalk, shortenPages, takeIdPage, type IdPage, type IdWalk } from './id-walk.ts';
import { PAGE_ROWS_MAX, shorterPage } from './read-updated.ts';
import { lookAt, write, type Session } from './session.ts';
import type { Entity } from './sort-events.ts';

/**
 * Reading everything: all contacts, then all leads of the followed pipelines, each in the order of their ids. Rows of ours
 * that were not there are looked for by their ids (a lead may be in another pipeline), and what is gone is marked, with the
 * sweep's limits. Where it stands is a row that is written with the pages: a killed worker's successor goes on there.
 */
export const jobPosition = z.object({
  reason: z.enum(['asked', 'first', 'pipelines', 'nightly', 'gap']),
  pipelines: z.array(z.int()),
  entity: z.enum(['contact', 'lead']),
  lastId: z.int().nonnegative(),
  taken: z.int().nonnegative(),
  /** Rows that were read. */
  done: z.int().nonnegative(),
  total: z.int().nonnegative().optional(),
  /** Of ours that the lists did not show, to be looked for. */
  unseen: z.array(z.int()),
  absence: z.object({
    looked: z.int().nonnegative(),
    missing: z.array(z.int()),
    gone: z.array(z.int()),
  }),
});
export type JobPosition = z.infer<typeof jobPosition>;

export const JOB_CURSOR = 'everything';
export const LOADED_CURSOR = 'loaded';
export const RECONCILED_CURSOR = 'reconciled';

/** A reading under way. */
export type Job = {
  position: JobPosition;
  walk: IdWalk;
  /** The page that was asked for while the one before is written. */
  next: Promise<Page> | undefined;
  /** By the clock, ms. */
  savedAtMs: number;
  toldAtMs: number;
  /** What was told to people. */
  alarm: string | undefined;
};

type Row = { readonly id: number };

type Page = {
  readonly rows: readonly Row[];
  /** Writes some of the rows. */
  readonly apply: (fresh: readonly Row[], also: PageMeans['also']) => Promise<unknown>;
};

/** `asked`: Kommo was. `told`: so many rows are missing that nothing is marked; with what to say to people. */
export type JobStep = 'asked' | 'went-on' | 'read' | 'cancelled' | { readonly told: string };

/** What changed nothing is saved so seldom: after a crash it is read again. */
const SAVED_EVERY_MS = 30_000;
const TOLD_EVERY_MS = 1_000;

const ENTITIES: Readonly<Record<JobReason, readonly Entity[]>> = {
  asked: ['contact', 'lead'],
  first: ['contact', 'lead'],
  pipelines: ['lead'],
  nightly: ['contact', 'lead'],
  gap: ['contact', 'lead'],
};

const emptyAbsence = () => ({ looked: 0, missing: [], gone: [] });

type Begin = {
  readonly reason: JobReason;
  readonly pipelines: readonly number[];
  /** Rows there are, as far as we know. */
  readonly total: number | undefined;
};

/** Begins a reading; people are told by the same transaction. Undefined: they have given it up in this moment. */
export async function beginJob(
  session: Session,
  { reason, pipelines, total }: Begin,
): Promise<Job | undefined> {
  const [entity = 'contact'] = ENTITIES[reason];
  const position: JobPosition = {
    reason,
    pipelines: [...pipelines],
    entity,
    lastId: 0,
    taken: 0,
    done: 0,
    ...(total === undefined ? {} : { total }),
    unseen: [],
    absence: emptyAbsence(),
  };
  const { scope } = session;
  const hasBegun = await write(session, async (tx) => {
    const isWanted =
      !isTold(reason) || (await beginFullSync(tx, scope, { total, isAsked: reason === 'asked' }));
    if (isWanted) await saveKommoCursor(tx, scope, JOB_CURSOR, position);
    return isWanted;
  });
  if (!hasBegun) return undefined;
  session.log.info({ reason, pipelines: pipelines.length }, 'everything is read');
  return resumeJob(session, position);
}

export function resumeJob({ clock }: Session, position: JobPosition): Job {
  const walk = beginIdWalk(PAGE_ROWS_MAX, position);
  const told = { toldAtMs: -Infinity, alarm: undefined };
  return { position, walk, next: undefined, savedAtMs: clock.elapsed(), ...told };
}

/**
 * One page, or one look at what a page did not show; `read` once there is nothing left.
 * @throws KommoError, ClarinError, LeaseLost: the same step is to be done once more.
 */
export async function stepJob(session: Session, job: Job): Promise<JobStep> {
  const { position, walk } = job;
  const { entity, pipelines, unseen } = position;
  if (entity === 'lead' && pipelines.length === 0) return nextEntity(job);
  if (walk.ask && unseen.length < IDS_MAX)
    return stepWalk(session, job, walk.ask).catch((error: unknown) => {
      // The page behind it was for when this one is written.
      job.next = undefined;
      throw error;
    });
  if (unseen.length > 0) return lookForUnseen(session, job);
  const left = await confirmNext(session, entity, position.absence);
  if (!left) return nextEntity(job);
  move(job, { absence: stored(left) });
  return 'asked';
}

async function stepWalk(session: Session, job: Job, ask: IdPage): Promise<JobStep> {
  const { position } = job;
  const page = await (job.next ?? fetchPage(session, job, ask)).catch((error: unknown) => {
    const shorter = shorterPage(error, job.walk.limitMax);
    if (shorter === undefined) throw error;
    job.walk = shortenPages(job.walk, shorter);
  });
  job.next = undefined;
  if (!page) return 'asked';
  const { walk, fresh } = takeIdPage(job.walk, page.rows);
  // While this page is written the next one is on its way.
  if (walk.ask) job.next = prefetch(fetchPage(session, job, walk.ask));
  const unseen = await findUnseen(session, job, { walk, shown: fresh.map((row) => row.id) });
  const looked = position.absence.looked + fresh.length;
  const next: JobPosition = {
    ...position,
    lastId: walk.lastId,
    taken: walk.taken,
    done: position.done + fresh.length,
    unseen: [...position.unseen, ...unseen],
    absence: { ...position.absence, looked },
  };
  let isCancelled = false;
  const also = async (tx: Queries, hasChanged: boolean): Promise<void> => {
    isCancelled = !(await saveProgress(session, job, { tx, position: next, hasChanged }));
  };
  if (fresh.length > 0) await page.apply(fresh, also);
  job.position = next;
  job.walk = walk;
  return isCancelled ? 'cancelled' : 'asked';
}

/** A failure is for whoever waits for the page, later. */
function prefetch(page: Promise<Page>): Promise<Page> {
  page.catch(() => undefined);
  return page;
}

async function fetchPage(session: Session, { position }: Job, ask: IdPage): Promise<Page> {
  const { client } = session;
  const query = { ...ask, order: { by: 'id', direction: 'asc' } } as const;
  const lane = 'sweep';
  if (position.entity === 'contact') {
    const { value, at } = await lookAt(session, () => client.contacts(query, lane));
    const apply: Page['apply'] = (fresh, also) =>
      applyContacts(session, pick(value.rows, fresh), { at, lane, also });
    return { rows: value.rows, apply };
  }
  const filter = { pipelineIds: position.pipelines };
  const { value, at } = await lookAt(session, () =>
    client.leads({ ...query, with: LEAD_WITH, filter }, lane),
  );
  const apply: Page['apply'] = (fresh, also) =>
    applyLeads(session, pick(value.rows, fresh), { at, lane, also });
  return { rows: value.rows, apply };
}

function pick<T extends Row>(rows: readonly T[], wanted: readonly Row[]): T[] {
  const ids = new Set(wanted.map((row) => row.id));
  return rows.filter((row) => ids.has(row.id));
}

/** Rows of ours, between the page before and the end of this one, that it did not show. */
async function findUnseen(
  { database, scope }: Session,
  { position, walk: before }: Job,
  { walk, shown }: { walk: IdWalk; shown: readonly number[] },
): Promise<number[]> {
  // Only some of the leads are read: the others are not missing.
  if (position.reason === 'pipelines') return [];
  const upTo = walk.ask ? walk.lastId : Infinity;
  const seen = new Set(shown);
  const unseen: number[] = [];
  const { entity } = position;
  for (let afterId = before.lastId; afterId < upTo;) {
    const listing = { entity, afterId, limit: PAGE_ROWS_MAX };
    const ids = await listKnownKommoIds(database, scope, listing);
    unseen.push(...ids.filter((id) => id <= upTo && !seen.has(id)));
    if (ids.length < PAGE_ROWS_MAX) break;
    afterId = ids.at(-1) ?? upTo;
  }
  return unseen;
}

async function lookForUnseen(session: Session, job: Job): Promise<JobStep> {
  const { entity, unseen } = job.position;
  const ids = unseen.slice(0, IDS_MAX);
  const looked = await lookForSome(session, job.position.absence, { entity, ids, doesApply: true });
  const rest = unseen.slice(IDS_MAX);
  const isWhole = !job.walk.ask && rest.length === 0;
  if (isSuspicious(looked, isWhole)) {
    const told = alarm(session, entity, looked);
    // The reading itself goes on: what it found is right.
    move(job, { unseen: rest, absence: emptyAbsence() });
    return { told };
  }
  move(job, { unseen: rest, absence: stored(looked) });
  return 'asked';
}

function move(job: Job, to: Partial<JobPosition>): void {
  job.position = { ...job.position, ...to };
}

function stored({ looked, missing, gone }: Absence): JobPosition['absence'] {
  return { looked, missing: [...missing], gone: [...gone] };
}

type Progress = {
  readonly tx: Queries;
  readonly position: JobPosition;
  readonly hasChanged: boolean;
};

/** With the rows of a page. False: people have given it up. */
async function saveProgress(
  { scope, clock }: Session,
  job: Job,
  { tx, position, hasChanged }: Progress,
): Promise<boolean> {
  const nowMs = clock.elapsed();
  if (hasChanged || nowMs - job.savedAtMs >= SAVED_EVERY_MS) {
    await saveKommoCursor(tx, scope, JOB_CURSOR, position);
    job.savedAtMs = nowMs;
  }
  if (!isTold(position.reason) || nowMs - job.toldAtMs < TOLD_EVERY_MS) return true;
  job.toldAtMs = nowMs;
  const { done, total } = position;
  // More than we knew of.
  return noteFullSync(tx, scope, {
    done,
    total: total === undefined ? undefined : Math.max(total, done),
  });
}

/** On to the next kind of rows, if there is one. */
function nextEntity(job: Job): JobStep {
  const { reason, entity } = job.position;
  const entities = ENTITIES[reason];
  const next = entities[entities.indexOf(entity) + 1];
  if (next === undefined) return 'read';
  move(job, { entity: next, lastId: 0, taken: 0, unseen: [], absence: emptyAbsence() });
  job.walk = beginIdWalk(job.walk.limitMax);
  return 'went-on';
}

/** How a reading ends: `done`, given up by people, or failed for good, until somebody connects it anew. */
export async function endJob(
  session: Session,
  { position }: Job,
  end: { how: 'done' | 'cancelled' | 'failed'; loaded: Loaded },
): Promise<void> {
  const { scope, clock, log } = session;
  const { reason, done } = position;
  await write(session, async (tx) => {
    if (isTold(reason) && end.how !== 'cancelled')
      await endFullSync(tx, scope, { state: end.how, done });
    await deleteKommoCursor(tx, scope, JOB_CURSOR);
    await saveKommoCursor(tx, scope, LOADED_CURSOR, end.loaded);
    if (end.how === 'done' && reason !== 'pipelines')
      await saveKommoCursor(tx, scope, RECONCILED_CURSOR, { atMs: clock.now() });
  });
  log.info({ reason, rows: done, how: end.how }, 'reading everything is over');
}
