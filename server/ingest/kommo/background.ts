import { z } from 'zod';
import { saveKommoCursor } from '../../commands/kommo-cursors.ts';
import { countKnownKommo } from '../../commands/kommo-hints.ts';
import { NIGHTLY_REQUEST_MS, nextNightly, SWEEP_REQUEST_MS, SWEEP_ROUND_MS } from './cadence.ts';
import { chooseJob, isTold, type JobChoice, type Loaded } from './choose-job.ts';
import { readConnections } from './connections.ts';
import { passReference } from './pass-reference.ts';
import {
  beginJob,
  endJob,
  JOB_CURSOR,
  jobPosition,
  LOADED_CURSOR,
  RECONCILED_CURSOR,
  resumeJob,
  stepJob,
  type Job,
} from './read-everything.ts';
import { write, type Session } from './session.ts';
import { stepSweep, SWEEP_BEGIN, sweepPosition, type SweepPosition } from './sweep.ts';

/**
 * What goes on beside the passes over changes: reading everything when there is a reason to, and, when there is none, the
 * sweep. One of them at a time, in the lowest lane.
 */
export type Background = {
  loaded: Loaded;
  /** When everything was last read, or when we began to, Unix ms. */
  reconciledAtMs: number;
  job: Job | undefined;
  sweep: SweepPosition;
  /** By the clock, ms. */
  sweepSavedAtMs: number;
  /** So long nothing was read that events may be missing. */
  hasGap: boolean;
  /** What people should know of; undefined: nothing. */
  alarm: string | undefined;
};

const loadedMark = z.object({ contacts: z.boolean(), pipelines: z.array(z.int()) });
const reconciledMark = z.object({ atMs: z.number() });
const SWEEP_CURSOR = 'sweep';
/** A round of a large account takes hours: so much of it is done again after a crash. */
const SWEEP_SAVED_EVERY_MS = 15 * 60_000;
const ALARM_REST_MS = 3_600_000;
/** When there is nothing to do: something may be asked for. */
const IDLE_MS = 60_000;

/** Where it stood, as it was saved. */
export function openBackground(session: Session, hasGap: boolean): Background {
  const read = <T>(kind: string, schema: z.ZodType<T>): T | undefined =>
    schema.safeParse(session.cursors.get(kind)?.position).data;
  const position = read(JOB_CURSOR, jobPosition);
  return {
    loaded: read(LOADED_CURSOR, loadedMark) ?? { contacts: false, pipelines: [] },
    reconciledAtMs: read(RECONCILED_CURSOR, reconciledMark)?.atMs ?? session.clock.now(),
    job: position && resumeJob(session, position),
    sweep: read(SWEEP_CURSOR, sweepPosition) ?? SWEEP_BEGIN,
    sweepSavedAtMs: session.clock.elapsed(),
    hasGap,
    alarm: undefined,
  };
}

export type Stepped = {
  /** Until the next step, ms. */
  readonly waitMs: number;
  /** Kommo was asked, and has answered. */
  readonly hasAsked: boolean;
};

/** One step. @throws KommoError, ClarinError, LeaseLost. */
export async function stepBackground(session: Session, background: Background): Promise<Stepped> {
  await forgetUnfollowed(session, background);
  const choice = await choose(session, background);
  switch (choice.kind) {
    case 'resume':
      return carryOn(session, background);
    case 'drop':
      await end(session, background, 'cancelled');
      return { waitMs: 0, hasAsked: false };
    case 'begin': {
      const { reason, pipelines } = choice;
      // What is followed since a moment ago has no stages yet.
      await passReference(session, 'poll');
      const total = background.loaded.contacts
        ? await countKnownKommo(session.database, session.scope, ['lead', 'contact'])
        : undefined;
      background.job = await beginJob(session, { reason, pipelines, total });
      await look(session);
      return { waitMs: 0, hasAsked: true };
    }
    case 'none':
      return sweep(session, background);
  }
}

/** What is about to begin, or to be given up, is looked at once more: what we know may be some seconds old. */
async function choose(session: Session, background: Background): Promise<JobChoice> {
  const choice = chooseJob(situationOf(session, background));
  if (choice.kind === 'none' || choice.kind === 'resume') return choice;
  await look(session);
  return chooseJob(situationOf(session, background));
}

async function look(session: Session): Promise<void> {
  const { database, scope } = session;
  const [connection] = await readConnections(database, [scope.connectionId]);
  if (connection) session.connection = connection;
}

function situationOf({ connection, clock }: Session, background: Background) {
  const { fullSync, followed, timezone, connectionId } = connection;
  const { loaded, job, hasGap, reconciledAtMs } = background;
  const isNightlyDue =
    clock.now() >= nextNightly({ afterMs: reconciledAtMs, timezone, connectionId });
  const begun = job?.position.reason;
  return { fullSync, followed, loaded, begun, isNightlyDue, hasGap };
}

/** A pipeline that is followed again later is read anew. */
async function forgetUnfollowed(session: Session, background: Background): Promise<void> {
  const { contacts, pipelines } = background.loaded;
  const kept = pipelines.filter((id) => session.connection.followed.includes(id));
  if (kept.length === pipelines.length) return;
  const loaded = { contacts, pipelines: kept };
  await write(session, (tx) => saveKommoCursor(tx, session.scope, LOADED_CURSOR, loaded));
  background.loaded = loaded;
}

async function carryOn(session: Session, background: Background): Promise<Stepped> {
  const { job } = background;
  if (!job) return { waitMs: 0, hasAsked: false };
  const step = await stepJob(session, job);
  if (step === 'read') {
    background.alarm = job.alarm;
    await end(session, background, 'done');
  } else if (step === 'cancelled') await end(session, background, 'cancelled');
  else if (typeof step === 'object') background.alarm = job.alarm = step.told;
  const hasAsked = step !== 'read' && step !== 'went-on';
  const waitMs = isTold(job.position.reason) || !hasAsked ? 0 : NIGHTLY_REQUEST_MS;
  return { waitMs, hasAsked };
}

/** The reading is over. Who gave it up does not want it to begin again by itself. */
async function end(
  session: Session,
  background: Background,
  how: 'done' | 'cancelled' | 'failed',
): Promise<void> {
  const { job, loaded: before } = background;
  if (!job) return;
  const { reason, pipelines } = job.position;
  const isKept = how === 'failed' || (how === 'cancelled' && before.contacts && !isFirstOf(reason));
  const loaded = isKept
    ? before
    : {
        contacts: before.contacts || reason !== 'pipelines',
        pipelines: [...new Set([...before.pipelines, ...pipelines])],
      };
  await endJob(session, job, { how, loaded });
  background.loaded = loaded;
  background.job = undefined;
  if (how === 'done' && reason !== 'pipelines') {
    background.reconciledAtMs = session.clock.now();
    background.hasGap = false;
  }
  await look(session);
}

const isFirstOf = (reason: Job['position']['reason']): boolean =>
  reason === 'first' || reason === 'pipelines';

/** Nobody can go on with it as things are: people are told that it failed. What they did not ask for just waits. */
export async function failJob(session: Session, background: Background): Promise<void> {
  if (background.job && isTold(background.job.position.reason))
    await end(session, background, 'failed');
}

async function sweep(session: Session, background: Background): Promise<Stepped> {
  if (session.connection.followed.length === 0) return { waitMs: IDLE_MS, hasAsked: false };
  const { position, outcome } = await stepSweep(session, background.sweep);
  background.sweep = position;
  const nowMs = session.clock.elapsed();
  if (nowMs - background.sweepSavedAtMs >= SWEEP_SAVED_EVERY_MS) {
    await write(session, (tx) => saveKommoCursor(tx, session.scope, SWEEP_CURSOR, position));
    background.sweepSavedAtMs = nowMs;
  }
  if (outcome === 'went-on') return { waitMs: 0, hasAsked: false };
  if (outcome === 'asked') return { waitMs: SWEEP_REQUEST_MS, hasAsked: true };
  background.sweepSavedAtMs = nowMs;
  if (outcome === 'round') {
    background.alarm = undefined;
    Object.assign(session.buried, { lead: 0, contact: 0 });
    return { waitMs: SWEEP_ROUND_MS, hasAsked: false };
  }
  background.alarm = outcome.alarm;
  return { waitMs: ALARM_REST_MS, hasAsked: true };
}
