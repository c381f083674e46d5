import type { Queries } from '../../../platform/postgres.ts';
import { tombstoneKommo } from '../../commands/tombstone-kommo.ts';
import type { KommoContact, KommoDeletedLead, KommoLead } from '../../kommo/documents.ts';
import type { KommoPage } from '../../kommo/lists.ts';
import type { ListQuery } from '../../kommo/query.ts';
import { applyContacts, applyLeads, LEAD_WITH, noteApplied } from './apply-page.ts';
import { noteSaved, putRight, saveAlone, saveReached, type Reached } from './lists.ts';
import type { UpdatedRow } from './keyset.ts';
import { readUpdated, type WantedPage } from './read-updated.ts';
import type { LookedAt, SeenRows } from './seen-rows.ts';
import { lookAt, write, type ListName, type Session } from './session.ts';

type Also = (tx: Queries, hasChanged: boolean) => Promise<void>;

type Source<T> = {
  readonly name: ListName;
  readonly seen: SeenRows;
  readonly fetch: (query: ListQuery) => Promise<KommoPage<T>>;
  readonly apply: (rows: T[], also: Also, at: LookedAt) => Promise<{ changed: number }>;
};

/** What changed of contacts since the last pass; gives false when some of it was not found. @throws KommoError, ClarinError, LeaseLost: the next pass does it again. */
export function passContacts(session: Session): Promise<boolean> {
  return pass<KommoContact>(session, {
    name: 'contacts',
    seen: session.seen.contact,
    fetch: (query) => session.client.contacts(query, 'poll'),
    apply: (rows, also, at) => applyContacts(session, rows, { lane: 'poll', also, at }),
  });
}

/** What changed of leads since the last pass. @throws as passContacts. */
export function passLeads(session: Session): Promise<boolean> {
  return pass<KommoLead>(session, {
    name: 'leads',
    seen: session.seen.lead,
    fetch: (query) => session.client.leads({ ...query, with: LEAD_WITH }, 'poll'),
    apply: (rows, also, at) => applyLeads(session, rows, { lane: 'poll', also, at }),
  });
}

/** Leads that were deleted since the last pass, and can still be restored. @throws as passContacts. */
export function passDeleted(session: Session): Promise<boolean> {
  return pass<KommoDeletedLead>(session, {
    name: 'deleted',
    seen: session.seen.deleted,
    fetch: (query) => session.client.deletedLeads(query, 'poll'),
    apply: (rows, also, at) => bury(session, rows, { also, at }),
  });
}

/** One transaction for each page that has something new; the last one moves the cursor. */
async function pass<T extends UpdatedRow>(
  session: Session,
  { name, seen, fetch, apply }: Source<T>,
): Promise<boolean> {
  const state = session.lists.get(name);
  if (!state) throw new Error(`the list ${name} is not open`);
  let hasChanged = false;
  let at: LookedAt = { sent: 0, received: 0 };
  let serverSeconds = 0;
  const reading = await readUpdated<T>(state.reading, {
    fetch: async (wanted) => {
      const looked = await lookAt(session, () => fetch(queryOf(wanted)));
      at = looked.at;
      serverSeconds = looked.value.serverSeconds;
      return looked.value;
    },
    take: async (rows, cursor) => {
      const reached = (hasPageChanged: boolean): Reached | undefined =>
        cursor === undefined
          ? undefined
          : { name, state, cursor, hasChanged: hasChanged || hasPageChanged };
      const fresh = seen.filterNew(rows);
      if (fresh.length > 0) {
        let saved: Reached | undefined;
        const also: Also = async (tx, hasPageChanged) => {
          saved = await saveReached(session, reached(hasPageChanged), tx);
        };
        const { changed } = await apply(fresh, also, at);
        noteSaved(session, saved);
        hasChanged ||= changed > 0;
      } else await saveAlone(session, reached(false));
    },
  });
  return putRight(session, state, { reading, serverSeconds });
}

function queryOf(wanted: WantedPage): ListQuery {
  const { page, limit } = wanted;
  if (!('by' in wanted)) return { page, limit, order: { by: 'updated_at', direction: 'desc' } };
  const { by, from, to } = wanted;
  return {
    page,
    limit,
    order: { by, direction: 'asc' },
    filter: { updatedFrom: from, ...(to === undefined ? {} : { updatedTo: to }) },
  };
}

/** Leads that are deleted, each with the time of it: one statement for each time. */
async function bury(
  session: Session,
  rows: readonly KommoDeletedLead[],
  { also, at: looked }: { also: Also; at: LookedAt },
): Promise<{ changed: number }> {
  const byTime = new Map<number, number[]>();
  for (const row of rows) {
    if (!row.is_deleted) continue;
    byTime.set(row.updated_at, [...(byTime.get(row.updated_at) ?? []), row.id]);
  }
  const changed = await write(session, async (tx) => {
    let buried = 0;
    for (const [at, ids] of byTime)
      buried += await tombstoneKommo(tx, session.scope, { entity: 'lead', ids, at });
    await also(tx, buried > 0);
    return buried;
  });
  session.seen.deleted.note(rows, looked);
  // One that is restored may look as it did before.
  session.seen.lead.forget(rows.map((row) => row.id));
  noteApplied(session, 'lead', { changed, unchanged: rows.length - changed });
  return { changed };
}
