import type { Queries } from '../../../platform/postgres.ts';
import { filterKnownKommoIds } from '../../commands/kommo-hints.ts';
import { tombstoneKommo } from '../../commands/tombstone-kommo.ts';
import type { KommoContact, KommoLead } from '../../kommo/documents.ts';
import type { Lane } from '../../kommo/limiter.ts';
import { applyContacts, applyLeads, LEAD_WITH, noteApplied } from './apply-page.ts';
import { write, type Session } from './session.ts';
import type { Entity } from './sort-events.ts';
import { isBelievable } from './sweep-limits.ts';

/** Rows that are looked for one by one when the list does not show them: two requests each. What is beyond waits for the sweep. */
const SINGLES_MAX = 20;

type Found = { readonly lead: readonly KommoLead[]; readonly contact: readonly KommoContact[] };

export type Looked = {
  readonly entity: Entity;
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
): Promise<Looked> {
  const { client, database, scope } = session;
  const found: { lead: KommoLead[]; contact: KommoContact[] } = { lead: [], contact: [] };
  if (ids.length === 0) return { entity, found, gone: [] };
  const filter = { ids };
  if (entity === 'lead') {
    const { rows } = await client.leads({ with: LEAD_WITH, filter }, lane);
    found.lead.push(...rows);
  } else found.contact.push(...(await client.contacts({ filter }, lane)).rows);
  const shown = new Set(found[entity].map((row) => row.id));
  const absent = ids.filter((id) => !shown.has(id));
  const gone: number[] = [];
  const known = await filterKnownKommoIds(database, scope, entity, absent);
  for (const id of known.slice(0, SINGLES_MAX)) {
    if (entity === 'lead') {
      const row = await client.lead(id, lane);
      if (row) found.lead.push(row);
      else gone.push(id);
    } else {
      const row = await client.contact(id, lane);
      if (row) found.contact.push(row);
      else gone.push(id);
    }
  }
  // Not deletions, when they are many: somebody's rights were narrowed. The sweep says so.
  return { entity, found, gone: isBelievable(gone.length, ids.length) ? gone : [] };
}

/** Writes what was found; what is gone is marked with it. Gives how many rows were written. @throws as applyLeads. */
export async function applyLooked(
  session: Session,
  { entity, found, gone }: Looked,
  { lane, also }: { lane: Lane; also?: (tx: Queries) => Promise<void> },
): Promise<number> {
  let buried = 0;
  const end = async (tx: Queries): Promise<void> => {
    buried = await buryGone(session, tx, entity, gone);
    await also?.(tx);
  };
  let applied = { changed: 0 };
  if (entity === 'lead' && found.lead.length > 0)
    applied = await applyLeads(session, found.lead, { lane, also: end });
  else if (entity === 'contact' && found.contact.length > 0)
    applied = await applyContacts(session, found.contact, { lane, also: end });
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
