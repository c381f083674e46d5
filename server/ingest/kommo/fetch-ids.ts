import type { Queries } from '../../../platform/postgres.ts';
import { countKnownKommo, filterKnownKommoIds } from '../../commands/kommo-hints.ts';
import { tombstoneKommo } from '../../commands/tombstone-kommo.ts';
import type { KommoContact, KommoLead } from '../../kommo/documents.ts';
import type { Lane } from '../../kommo/limiter.ts';
import { applyContacts, applyLeads, LEAD_WITH, noteApplied } from './apply-page.ts';
import type { LookedAt } from './seen-rows.ts';
import { lookAt, write, type Session } from './session.ts';
import type { Entity } from './sort-events.ts';
import { isBelievable } from './sweep-limits.ts';

/** Rows that are looked for one by one when the list does not show them: two requests each. What is beyond waits for the sweep. */
const SINGLES_MAX = 20;

type Found = { readonly lead: readonly KommoLead[]; readonly contact: readonly KommoContact[] };

export type Look = {
  readonly entity: Entity;
  readonly at: LookedAt;
  readonly found: Found;
  /** Known to us, in no list, and not by themselves either. */
  readonly gone: readonly number[];
};

/**
 * Asks for these ids. What the list does not show, and we have, is asked for alone before it counts as gone: a list may be
 * late. @throws KommoError, ClarinError.
 */
export async function lookForIds(
  session: Session,
  { entity, ids, lane }: { entity: Entity; ids: readonly number[]; lane: Lane },
): Promise<Look> {
  const found: { lead: KommoLead[]; contact: KommoContact[] } = { lead: [], contact: [] };
  const gone: number[] = [];
  const { at } = await lookAt(session, async () => {
    if (ids.length === 0) return;
    const listed = await askForIds(session, { entity, ids, lane });
    found.lead.push(...listed.lead);
    found.contact.push(...listed.contact);
    const shown = new Set(found[entity].map((row) => row.id));
    const absent = ids.filter((id) => !shown.has(id));
    const known = await filterKnownKommoIds(session.database, session.scope, entity, absent);
    for (const id of known.slice(0, SINGLES_MAX)) {
      const { lead, contact } = await askForOne(session, { entity, id, lane });
      if (lead) found.lead.push(lead);
      else if (contact) found.contact.push(contact);
      else gone.push(id);
    }
  });
  const isDeletion = await areDeletions(session, { entity, gone: gone.length, of: ids.length });
  return { entity, at, found, gone: isDeletion ? gone : [] };
}

/**
 * Not when they are many, here or one by one: then somebody's rights were narrowed, and they are told of all the same. The
 * sweep, which sees all of them, says so.
 */
async function areDeletions(
  { database, scope, buried }: Session,
  { entity, gone, of }: { entity: Entity; gone: number; of: number },
): Promise<boolean> {
  if (gone === 0 || !isBelievable(gone, of)) return false;
  const known = await countKnownKommo(database, scope, [entity]);
  const all = buried[entity] + gone;
  if (!isBelievable(all, known + buried[entity])) return false;
  buried[entity] = all;
  return true;
}

/** What the list shows of these ids. @throws KommoError, ClarinError. */
export async function askForIds(
  { client }: Session,
  { entity, ids, lane }: { entity: Entity; ids: readonly number[]; lane: Lane },
): Promise<Found> {
  const filter = { ids };
  if (entity === 'lead') {
    const { rows } = await client.leads({ with: LEAD_WITH, filter }, lane);
    return { lead: rows, contact: [] };
  }
  return { lead: [], contact: (await client.contacts({ filter }, lane)).rows };
}

/** The row itself; neither: it is not there. @throws KommoError, ClarinError. */
export async function askForOne(
  { client }: Session,
  { entity, id, lane }: { entity: Entity; id: number; lane: Lane },
): Promise<{ lead?: KommoLead | undefined; contact?: KommoContact | undefined }> {
  if (entity === 'lead') return { lead: await client.lead(id, lane) };
  return { contact: await client.contact(id, lane) };
}

/**
 * Writes what was found and is not known to look so, and whatever was hinted at: somebody may want it written anew. What is
 * gone is marked with it. Gives how many rows were written.
 * @throws as applyLeads.
 */
export async function applyLook(
  session: Session,
  { entity, at, found, gone }: Look,
  {
    lane,
    isHinted = false,
    also,
  }: { lane: Lane; isHinted?: boolean; also?: (tx: Queries) => Promise<void> },
): Promise<number> {
  let buried = 0;
  const end = async (tx: Queries): Promise<void> => {
    buried = await buryGone(session, tx, entity, gone);
    await also?.(tx);
  };
  const means = { at, lane, also: end };
  const leads = isHinted ? found.lead : session.seen.lead.filterNew(found.lead);
  const contacts = isHinted ? found.contact : session.seen.contact.filterNew(found.contact);
  let applied = { changed: 0 };
  if (leads.length > 0) applied = await applyLeads(session, leads, means);
  else if (contacts.length > 0) applied = await applyContacts(session, contacts, means);
  else if (gone.length > 0 || also) await write(session, end);
  if (buried > 0) noteApplied(session, entity, { changed: buried, unchanged: 0 });
  return applied.changed + buried;
}

/** Of rows that are not there any more nobody knows since when. */
export async function buryGone(
  { scope, seen }: Session,
  tx: Queries,
  entity: Entity,
  ids: readonly number[],
): Promise<number> {
  if (ids.length === 0) return 0;
  seen[entity].forget(ids);
  return tombstoneKommo(tx, scope, { entity, ids, at: undefined });
}
