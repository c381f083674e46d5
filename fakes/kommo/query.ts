import type { EventFilter } from './events.ts';
import type { EntityName } from './model.ts';
import { badRequest, Problem } from './problem.ts';
import type { WorldSettings } from './settings.ts';
import type { ListOrder } from './table.ts';

/** Unix seconds, one of them or both. */
export type Range = { readonly from: number | undefined; readonly to: number | undefined };

/** What a list of leads or contacts was asked for. */
export type ListQuery = {
  readonly limit: number;
  readonly page: number;
  readonly order: ListOrder;
  readonly isDescending: boolean;
  readonly embeds: ReadonlySet<string>;
  /** `query=`: in names and fields. */
  readonly search: string | undefined;
  readonly ids: ReadonlySet<number> | undefined;
  readonly updatedAt: Range | undefined;
  readonly createdAt: Range | undefined;
  readonly closedAt: Range | undefined;
  readonly pipelineIds: ReadonlySet<number> | undefined;
  readonly statuses:
    | readonly { readonly pipelineId: number; readonly statusId: number }[]
    | undefined;
  readonly responsibleUserIds: ReadonlySet<number> | undefined;
};

const LIMIT_MAX = 250;
const LIMIT_DEFAULT = 50;
const ORDERS: Readonly<Record<EntityName, readonly ListOrder[]>> = {
  leads: ['created_at', 'updated_at', 'id'],
  contacts: ['updated_at', 'id'],
};

/** @throws Problem 422 above 250 rows, 400 for what is no number or no order of this list. */
export function parseListQuery(
  entity: EntityName,
  parameters: URLSearchParams,
  settings: WorldSettings,
): ListQuery {
  const isLeads = entity === 'leads';
  const ids = (name: string): Set<number> | undefined => {
    const values = valuesOf(parameters, `filter[${name}]`);
    return values && new Set(values.map((value) => toNumber(value, `filter.${name}`)));
  };
  return {
    ...parsePage(parameters, settings),
    ...parseOrder(entity, parameters),
    embeds: new Set((parameters.get('with') ?? '').split(',').map((word) => word.trim())),
    search: parameters.get('query')?.trim().toLowerCase() || undefined,
    ids: ids('id'),
    updatedAt: parseRange(parameters, 'updated_at'),
    createdAt: parseRange(parameters, 'created_at'),
    closedAt: isLeads ? parseRange(parameters, 'closed_at') : undefined,
    pipelineIds: isLeads ? ids('pipeline_id') : undefined,
    statuses: isLeads ? parseStatuses(parameters) : undefined,
    responsibleUserIds: ids('responsible_user_id'),
  };
}

/** @throws Problem as above. */
export function parsePage(
  parameters: URLSearchParams,
  settings: WorldSettings,
): { limit: number; page: number } {
  const limit = toNumber(parameters.get('limit') ?? String(LIMIT_DEFAULT), 'limit');
  const page = toNumber(parameters.get('page') ?? '1', 'page');
  if (limit < 1) throw badRequest([{ path: 'limit', detail: 'Must be 1 at least.' }]);
  if (page < 1) throw badRequest([{ path: 'page', detail: 'Must be 1 at least.' }]);
  if (limit <= LIMIT_MAX) return { limit, page };
  if (settings.aboveLimit === 'refuse') throw new Problem(422, 'Limit 250 per page');
  return { limit: LIMIT_DEFAULT, page };
}

function parseOrder(
  entity: EntityName,
  parameters: URLSearchParams,
): Pick<ListQuery, 'order' | 'isDescending'> {
  for (const [key, direction] of parameters) {
    const name = /^order\[(\w+)\]$/.exec(key)?.[1];
    if (name === undefined) continue;
    const order = ORDERS[entity].find((each) => each === name);
    if (order === undefined || !/^(asc|desc)$/i.test(direction)) {
      throw badRequest([{ path: `order.${name}`, detail: 'This order is not supported.' }]);
    }
    return { order, isDescending: direction.toLowerCase() === 'desc' };
  }
  return { order: 'id', isDescending: false };
}

/** `filter[x][from]` and `[to]`; a bare `filter[x]` is a beginning. */
function parseRange(parameters: URLSearchParams, name: string): Range | undefined {
  const read = (key: string): number | undefined => {
    const value = parameters.get(key);
    return value === null || value === '' ? undefined : toNumber(value, `filter.${name}`);
  };
  const from = read(`filter[${name}][from]`) ?? read(`filter[${name}]`);
  const to = read(`filter[${name}][to]`);
  return from === undefined && to === undefined ? undefined : { from, to };
}

/** `filter[statuses][0][pipeline_id]` and `[status_id]`. */
function parseStatuses(parameters: URLSearchParams): ListQuery['statuses'] {
  const found = new Map<string, { pipelineId?: number; statusId?: number }>();
  for (const [key, value] of parameters) {
    const match = /^filter\[statuses\]\[(\d+)\]\[(pipeline_id|status_id)\]$/.exec(key);
    const index = match?.[1];
    if (index === undefined) continue;
    const place = found.get(index) ?? {};
    place[match?.[2] === 'status_id' ? 'statusId' : 'pipelineId'] = toNumber(
      value,
      'filter.statuses',
    );
    found.set(index, place);
  }
  if (found.size === 0) return undefined;
  return [...found.values()].map(({ pipelineId, statusId }) => {
    if (pipelineId === undefined || statusId === undefined) {
      const detail = 'Needs pipeline_id and status_id.';
      throw badRequest([{ path: 'filter.statuses', detail }]);
    }
    return { pipelineId, statusId };
  });
}

const EVENT_LIST_MAX = 10;

/** @throws Problem 400 for more than ten ids, or ids of more than one entity. */
export function parseEventFilter(parameters: URLSearchParams): EventFilter {
  const list = (name: string): string[] | undefined =>
    valuesOf(parameters, `filter[${name}]`)?.flatMap((value) => value.split(','));
  const numbers = (name: string): number[] | undefined => {
    const values = list(name)?.map((value) => toNumber(value, `filter.${name}`));
    if (values && values.length > EVENT_LIST_MAX) {
      throw badRequest([{ path: `filter.${name}`, detail: 'Ten values at most.' }]);
    }
    return values;
  };
  const [ids, types, entityTypes] = [list('id'), list('type'), list('entity')];
  const [entityIds, createdBy] = [numbers('entity_id'), numbers('created_by')];
  if (entityIds && entityTypes?.length !== 1) {
    throw badRequest([{ path: 'filter.entity', detail: 'Ids go with one entity.' }]);
  }
  const range = parseRange(parameters, 'created_at');
  return {
    ...(ids && { ids }),
    ...(types && { types }),
    ...(entityTypes && { entityTypes }),
    ...(entityIds && { entityIds }),
    ...(createdBy && { createdBy }),
    ...(range?.from !== undefined && { from: range.from }),
    ...(range?.to !== undefined && { to: range.to }),
  };
}

/** `name`, `name[]` and `name[0]`; undefined when none is there. */
function valuesOf(parameters: URLSearchParams, name: string): string[] | undefined {
  const values: string[] = [];
  for (const [key, value] of parameters) {
    if (key === name || (key.startsWith(`${name}[`) && /^\[\d*\]$/.test(key.slice(name.length)))) {
      if (value !== '') values.push(value);
    }
  }
  return values.length === 0 ? undefined : values;
}

function toNumber(value: string, path: string): number {
  if (/^\d{1,15}$/.test(value)) return Number(value);
  throw badRequest([{ path, detail: 'This value is not a valid number.' }]);
}
