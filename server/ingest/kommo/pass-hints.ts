import { deleteKommoHints, readKommoHints } from '../../commands/kommo-hints.ts';
import { applyLook, lookForIds } from './fetch-ids.ts';
import type { Session } from './session.ts';

/** Rounds of one pass: a hundred of each. Who sends more than that waits for the next pass. */
const ROUNDS_MAX = 20;
/** From one round that goes before everything else to the next. */
const HURRY_MS = 1_000;

/**
 * Fetches what somebody said has changed, until nothing waits; gives whether there was anything. Contacts first: leads name
 * them. One round in a second is in a hurry. More than that waits like everything else: a call of a webhook is not signed,
 * and other connections call from the same address. @throws KommoError, ClarinError, LeaseLost: what was not fetched still waits.
 */
export async function passHints(session: Session): Promise<boolean> {
  const { database, scope, signal, clock } = session;
  for (let round = 0; round < ROUNDS_MAX; round++) {
    signal.throwIfAborted();
    const hints = await readKommoHints(database, scope);
    if (hints.contact.length + hints.lead.length === 0) return round > 0;
    const nowMs = clock.elapsed();
    const lane = nowMs - session.hintedAtMs >= HURRY_MS ? 'hint' : 'poll';
    if (lane === 'hint') session.hintedAtMs = nowMs;
    for (const entity of ['contact', 'lead'] as const) {
      const ids = hints[entity];
      if (ids.length === 0) continue;
      const look = await lookForIds(session, { entity, ids, lane });
      await applyLook(session, look, {
        lane,
        isHinted: true,
        also: (tx) => deleteKommoHints(tx, scope, entity, ids),
      });
    }
  }
  return true;
}

/** Looks once more at rows of which two looks were under way at once, and differed. @throws as passHints. */
export async function settleDoubts(session: Session): Promise<void> {
  for (const entity of ['contact', 'lead'] as const) {
    const ids = [...session.doubts[entity]];
    if (ids.length === 0) continue;
    const look = await lookForIds(session, { entity, ids, lane: 'poll' });
    await applyLook(session, look, { lane: 'poll' });
    for (const id of ids) session.doubts[entity].delete(id);
  }
}
