import type { ControlStore } from '../platform/cache/control.ts';
import type { ControlState, Epoch, EpochIdentity } from '../platform/cache/types.ts';
import { ClarinError } from '../domain/errors.ts';
import { maxLsn, type Lsn } from '../domain/lsn.ts';
import type { Metrics } from '../platform/metrics.ts';
import { readPublicationDrift } from '../platform/publication.ts';
import { readSlot } from '../platform/replication-slot.ts';
import { baseOf, hasSkipped, judgeEpoch, type EpochReason, type SlotFacts } from './epoch.ts';
import { readIdentity, readPublicationDigest } from './identity.ts';
import { sqlStateOf } from '../platform/sqlstate.ts';
import type { UnsafeSeams } from './seams.ts';
import {
  assertSlotIsOurs,
  createSlot,
  dropSlot,
  factsOf,
  releaseSlot,
  type SlotContext,
} from './slot.ts';
import type { VisibilityGate } from './visibility-gate.ts';

export type PrepareContext = SlotContext & {
  readonly publication: string;
  readonly control: ControlStore;
  readonly gate: VisibilityGate;
  readonly metrics: Metrics;
  readonly seams: UnsafeSeams;
};

/**
 * What a stream starts from: the epoch in force, the position from which the feed may serve, and the digest of the
 * publication that the epoch stands for.
 */
export type Prepared = {
  readonly epoch: Epoch;
  readonly position: Lsn;
  readonly published: string;
};

type Opinion = {
  readonly term: number;
  readonly lostEpoch: string | undefined;
  readonly isUnreadable: boolean;
};

/**
 * Everything between winning the leadership and reading the stream, in this order: whoever still reads the slot is ended
 * before its position is looked at; the epoch is judged by that position; a slot is made anew only when the epoch ends too.
 * `lostEpoch`: see RedisFacts. `isUnreadable`: an attempt has ended by what the slot holds.
 * @throws ClarinError: replication_drift and configuration are for a person, leadership_lost is over, others pass.
 */
export async function prepareEpoch(
  context: PrepareContext,
  { term, lostEpoch, isUnreadable }: Opinion,
  signal: AbortSignal,
): Promise<Prepared> {
  const { url, slot, publication, db, control, database } = context;
  await assertNoDrift(context);
  const published = await readPublicationDigest(db, publication);
  const identity = await readIdentity({ url, slot, publication: published });
  await releaseSlot(context, signal);
  const status = await readSlot(db, slot);
  if (status) assertSlotIsOurs(status, database);
  const facts: SlotFacts = status && isUnreadable ? { state: 'unreadable' } : factsOf(status);
  const known = await control.readControl();
  const runId = await control.readRunId();
  // Of what was evicted while nobody led no account need say anything.
  const lost = known && (await control.hasEvicted()) ? known.epoch.id : lostEpoch;
  const verdict = judgeEpoch(known, identity, { runId, lostEpoch: lost }, facts);
  context.seams.at?.('judged');
  if (verdict.kind === 'new') {
    const confirmed = await findStart(context, facts, verdict.remakeSlot, signal);
    const opening = { term, confirmed, identity, reason: verdict.reason };
    return { ...(await openEpoch(context, opening)), published };
  }
  return { ...(await keepEpoch(context, known, term)), published };
}

/**
 * A table that leaves the publication under a running stream says nothing: its changes stop coming, heartbeats go on.
 * Asked before each heartbeat, so that nothing behind an alteration is vouched for longer than a lease lives.
 * @throws ClarinError `replication_drift`; `epoch_lost` when it was altered and fits again.
 */
export async function assertStillPublished(
  context: Pick<PrepareContext, 'db' | 'publication'>,
  published: string,
): Promise<void> {
  await assertNoDrift(context);
  if ((await readPublicationDigest(context.db, context.publication)) === published) return;
  throw new ClarinError('epoch_lost', 'the publication was altered: changes may have been missed');
}

/**
 * Asked when the stream has begun, so that nobody else can move the slot any more, and before anything of it is applied:
 * whoever moved it, or made another one of its name, after the epoch was judged by it, has let commits go by.
 * @throws ClarinError `epoch_lost`.
 */
export async function assertNothingSkipped(
  { db, slot }: Pick<PrepareContext, 'db' | 'slot'>,
  position: Lsn,
): Promise<void> {
  const facts = factsOf(await readSlot(db, slot));
  if (facts.state !== 'usable' || !hasSkipped(facts.confirmed, position)) return;
  throw new ClarinError('epoch_lost', 'the slot was moved before it was read: commits went by');
}

/**
 * What the slot holds was written by tables of another form, or while the publication was gone, and the database fits again by
 * now: nobody will ever read past it. A database that does not fit yet is for a person.
 */
export async function isPastUnreadable(
  context: Pick<PrepareContext, 'db' | 'publication'>,
  error: unknown,
): Promise<boolean> {
  const isDrift = error instanceof ClarinError && error.code === 'replication_drift';
  // Before 18 a walsender that decodes what was written while there was no publication fails: undefined_object.
  if (!isDrift && sqlStateOf(error) !== '42704') return false;
  return assertNoDrift(context).then(
    () => true,
    () => false,
  );
}

/** @throws ClarinError `replication_drift` listing every difference. */
export async function assertNoDrift({
  db,
  publication,
}: Pick<PrepareContext, 'db' | 'publication'>): Promise<void> {
  const reasons = await readPublicationDrift(db, publication);
  if (reasons.length === 0) return;
  throw new ClarinError(
    'replication_drift',
    `The database differs from the declarations; run \`clarin migrate\`: ${reasons.join('; ')}.`,
    { details: { reasons } },
  );
}

async function findStart(
  context: PrepareContext,
  facts: SlotFacts,
  remakeSlot: boolean,
  signal: AbortSignal,
): Promise<Lsn> {
  if (!remakeSlot && facts.state === 'usable') return facts.confirmed;
  if (facts.state !== 'missing') await dropSlot(context, signal);
  const confirmed = await createSlot(context, signal);
  context.seams.at?.('slot made');
  // What was in the WAL before this slot and is visible after this epoch began would be missed by both.
  await context.gate.settle(signal);
  return confirmed;
}

type Opening = { term: number; confirmed: Lsn; identity: EpochIdentity; reason: EpochReason };

async function openEpoch(
  context: PrepareContext,
  opening: Opening,
): Promise<Omit<Prepared, 'published'>> {
  const { control, metrics, log, seams } = context;
  const { term, confirmed, identity, reason } = opening;
  const epoch = await control.openEpoch({ term, base: baseOf(confirmed), identity });
  seams.at?.('epoch opened');
  await control.advance({ term, epoch, position: confirmed });
  metrics.epochChanges.inc({ reason });
  log.warn(
    { epoch: epoch.id, reason },
    'a new epoch begins: caches are dropped and subscribers read again',
  );
  return { epoch, position: confirmed };
}

async function keepEpoch(
  context: PrepareContext,
  known: ControlState | undefined,
  term: number,
): Promise<Omit<Prepared, 'published'>> {
  if (!known) throw new Error('no epoch to keep');
  const { control, log } = context;
  // Heads carry the term of whoever wrote last: from here on an older leader that wakes up is refused everywhere.
  await control.fence({ term, epoch: known.epoch });
  await control.dropStaleEpochs();
  log.info({ epoch: known.epoch.id, term }, 'the epoch is kept');
  return { epoch: known.epoch, position: maxLsn(known.position, known.epoch.base) };
}
