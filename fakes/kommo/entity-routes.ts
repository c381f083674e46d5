import { hal, NO_CONTENT, type Answer } from './answer.ts';
import { contactDocument, deletedLeadDocument, leadDocument } from './documents.ts';
import { listRows } from './list.ts';
import type { EntityName, RowOf } from './model.ts';
import { parseListQuery } from './query.ts';
import type { World } from './world.ts';

/** A request that was let in. */
export type Context = {
  readonly world: World;
  readonly method: string;
  /** Of the path. */
  readonly ids: readonly string[];
  readonly parameters: URLSearchParams;
  /** Where the account answers. */
  readonly base: string;
  /** The path behind it, `/api/v4/leads`. */
  readonly path: string;
  /** Of JSON or a form; {} without one. */
  readonly body: Readonly<Record<string, unknown>>;
};

/** `GET /leads` and `GET /contacts`. Leads and contacts tell no total. @throws Problem of parseListQuery. */
export function listEntities(context: Context, entity: EntityName): Answer {
  const { world, parameters, base } = context;
  const query = parseListQuery(entity, parameters, world.settings);
  const { rows, hasMore } = listRows(world, entity, query);
  if (rows.length === 0) return NO_CONTENT;
  const isTrash = entity === 'leads' && query.embeds.has('only_deleted');
  const leadIds = entity === 'contacts' ? leadsOf(world, query.embeds) : new Map();
  const documents = rows.map((row) => {
    if ('pipelineId' in row) {
      if (isTrash) return deletedLeadDocument(world, row, base);
      return leadDocument(world, row, { base, embeds: query.embeds });
    }
    const ids = leadIds.get(row.id) ?? [];
    return contactDocument(world, row, { base, embeds: query.embeds, leadIds: ids });
  });
  const isFull = rows.length === query.limit;
  return listAnswer(context, { name: entity, documents, page: query.page, isFull, hasMore });
}

/** `GET /leads/{id}`: 204 when there is none that can be seen. Never behind: it does not come from the lists. */
export function getEntity(context: Context, entity: EntityName): Answer {
  const { world, parameters, base } = context;
  const id = Number(context.ids[0]);
  const embeds = new Set((parameters.get('with') ?? '').split(','));
  const row: RowOf<EntityName> | undefined = world[entity].get(id);
  if (row === undefined || row.isDeleted || world.isHidden(row)) return NO_CONTENT;
  if ('pipelineId' in row) return hal(leadDocument(world, row, { base, embeds }));
  const leadIds = leadsOf(world, embeds).get(id) ?? [];
  return hal(contactDocument(world, row, { base, embeds, leadIds }));
}

/** Ids of each contact's leads; nothing unless they are asked for: it looks at all of them. */
function leadsOf(world: World, embeds: ReadonlySet<string>): Map<number, number[]> {
  const found = new Map<number, number[]>();
  if (!embeds.has('leads')) return found;
  for (const lead of world.leads.all()) {
    if (lead.isDeleted || lead.isUnsorted || world.isHidden(lead)) continue;
    for (const { id } of lead.contacts) found.set(id, [...(found.get(id) ?? []), lead.id]);
  }
  return found;
}

type Listed = {
  readonly name: string;
  readonly documents: readonly unknown[];
  readonly page: number;
  readonly isFull: boolean;
  readonly hasMore: boolean;
};

/** The envelope, with or without a next page as the settings have it. */
export function listAnswer(context: Context, listed: Listed): Answer {
  const { name, documents, page, isFull, hasMore } = listed;
  const { nextLink } = context.world.settings;
  const hasNext =
    nextLink === 'always' ||
    (nextLink === 'when-full' && isFull) ||
    (nextLink === 'when-more' && hasMore);
  return hal({
    _page: page,
    _links: {
      self: { href: hrefOf(context, page) },
      ...(hasNext && { next: { href: hrefOf(context, page + 1) } }),
    },
    _embedded: { [name]: documents },
  });
}

/** The same question for another page. */
function hrefOf({ base, path, parameters }: Context, page: number): string {
  const query = new URLSearchParams(parameters);
  query.set('page', String(page));
  return `${base}${path}?${query.toString()}`;
}
