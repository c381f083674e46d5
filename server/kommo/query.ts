import { LIMIT_MAX } from './answer.ts';

export type ListQuery = {
  /** Rows of a page; 250 without it, which is the most. */
  readonly limit?: number;
  /** From 1. */
  readonly page?: number;
  readonly order?: {
    readonly by: 'updated_at' | 'created_at' | 'id';
    readonly direction: 'asc' | 'desc';
  };
  readonly with?: readonly string[];
  readonly filter?: ListFilter;
};

/** Moments are Unix seconds, both ends within. */
export type ListFilter = {
  /** Any number: more than fit into an address become several requests. */
  readonly ids?: readonly number[];
  readonly updatedFrom?: number;
  readonly updatedTo?: number;
  readonly createdFrom?: number;
  readonly pipelineIds?: readonly number[];
  /** Of events. */
  readonly types?: readonly string[];
};

/** Ids of one request: an address of 3 kB, where servers take 8. */
export const IDS_MAX = 100;

/** The query part of an address, with its question mark. Brackets are encoded: some proxies refuse them bare. */
export function encodeQuery(query: ListQuery): string {
  const { limit = LIMIT_MAX, page = 1, order, filter = {} } = query;
  const parts: [string, string | number][] = [
    ['limit', limit],
    ['page', page],
  ];
  if (order) parts.push([`order[${order.by}]`, order.direction]);
  if (query.with?.length) parts.push(['with', query.with.join(',')]);
  for (const id of filter.ids ?? []) parts.push(['filter[id][]', id]);
  for (const id of filter.pipelineIds ?? []) parts.push(['filter[pipeline_id][]', id]);
  if (filter.types?.length) parts.push(['filter[type]', filter.types.join(',')]);
  if (filter.updatedFrom !== undefined)
    parts.push(['filter[updated_at][from]', filter.updatedFrom]);
  if (filter.updatedTo !== undefined) parts.push(['filter[updated_at][to]', filter.updatedTo]);
  if (filter.createdFrom !== undefined)
    parts.push(['filter[created_at][from]', filter.createdFrom]);
  return `?${parts.map(([name, value]) => `${encodeURIComponent(name)}=${encodeURIComponent(value)}`).join('&')}`;
}
