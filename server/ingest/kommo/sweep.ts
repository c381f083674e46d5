import { z } from 'zod';
import { listKnownKommoIds } from '../../commands/known-kommo.ts';
import { alarm, confirmNext, IDS_MAX, isSuspicious, lookForSome, NO_ABSENCE } from './absence.ts';
import type { Session } from './session.ts';

/**
 * The way round through all rows of ours, a hundred ids at a time, without end: what is not there any more, and nobody
 * has told us of, is found by it. First all leads are looked for; then what was missing is asked for one by one; then, and
 * only then, what is gone is marked. The same with contacts, and it begins anew. A step that fails is done again: nothing
 * is concluded from half a round.
 */
const absence = z.object({
  looked: z.int().nonnegative(),
  missing: z.array(z.int()),
  gone: z.array(z.int()),
});
export const sweepPosition = z.object({
  entity: z.enum(['lead', 'contact']),
  /** `look`: behind this id; `confirm`: what was missing. */
  phase: z.enum(['look', 'confirm']),
  afterId: z.int().nonnegative(),
  absence,
});
export type SweepPosition = z.infer<typeof sweepPosition>;

export const SWEEP_BEGIN: SweepPosition = {
  entity: 'lead',
  phase: 'look',
  afterId: 0,
  absence: { ...NO_ABSENCE, missing: [], gone: [] },
};

export type SweepStep = {
  readonly position: SweepPosition;
  /** Whether Kommo was asked, the round is over, or was given up: then with what to say to people. */
  readonly outcome: 'asked' | 'went-on' | 'round' | { readonly alarm: string };
};

/** One request at most, but for what it finds to be written. @throws KommoError, ClarinError, LeaseLost. */
export async function stepSweep(session: Session, position: SweepPosition): Promise<SweepStep> {
  const { entity, phase, afterId } = position;
  if (phase === 'confirm') {
    const left = await confirmNext(session, entity, position.absence);
    if (left) return { position: { ...position, absence: asStored(left) }, outcome: 'asked' };
    return entity === 'lead'
      ? { position: { ...SWEEP_BEGIN, entity: 'contact' }, outcome: 'went-on' }
      : { position: SWEEP_BEGIN, outcome: 'round' };
  }
  const { database, scope } = session;
  const ids = await listKnownKommoIds(database, scope, { entity, afterId, limit: IDS_MAX });
  const looked =
    ids.length > 0
      ? await lookForSome(session, position.absence, { entity, ids, doesApply: false })
      : position.absence;
  const isWhole = ids.length < IDS_MAX;
  if (isSuspicious(looked, isWhole))
    return { position: SWEEP_BEGIN, outcome: { alarm: alarm(session, entity, looked) } };
  const next = {
    entity,
    phase: isWhole ? ('confirm' as const) : phase,
    afterId: ids.at(-1) ?? afterId,
    absence: asStored(looked),
  };
  return { position: next, outcome: ids.length > 0 ? 'asked' : 'went-on' };
}

function asStored({ looked, missing, gone }: z.input<typeof absence> | Readonly<Absent>) {
  return { looked, missing: [...missing], gone: [...gone] };
}

type Absent = { looked: number; missing: readonly number[]; gone: readonly number[] };
