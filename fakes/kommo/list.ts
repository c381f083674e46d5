import type { ContactRow, EntityName, LeadRow, RowOf } from './model.ts';
import type { ListQuery, Range } from './query.ts';
import { shareOf } from './random.ts';
import type { ListOrder } from './table.ts';
import type { World } from './world.ts';

export type Page<Row> = { readonly rows: readonly Row[]; readonly hasMore: boolean };

/** The rows of one page as the lists show them at this moment: the next page is cut from what is there then. */
export function listRows<E extends EntityName>(
  world: World,
  entity: E,
  query: ListQuery,
): Page<RowOf<E>> {
  const matches = createFilter(world, query);
  const wantsDeleted = entity === 'leads' && query.embeds.has('only_deleted');
  const rows = world.listed(entity, query.order);
  const isWanted = (row: RowOf<E>): boolean =>
    row.isDeleted === wantsDeleted && !row.isUnsorted && !world.isHidden(row) && matches(row);
  const start = (query.page - 1) * query.limit;
  if (world.settings.ties === 'shuffled' && query.order !== 'id') {
    const found = query.isDescending ? rows.filter(isWanted).reverse() : rows.filter(isWanted);
    const shuffled = shuffleTies(found, query.order, world.draw(0x7fffffff));
    return {
      rows: shuffled.slice(start, start + query.limit),
      hasMore: shuffled.length > start + query.limit,
    };
  }
  const page: RowOf<E>[] = [];
  let count = 0;
  for (let index = 0; index < rows.length; index += 1) {
    const row = rows[query.isDescending ? rows.length - 1 - index : index];
    if (row === undefined || !isWanted(row)) continue;
    count += 1;
    if (count <= start) continue;
    if (page.length === query.limit) return { rows: page, hasMore: true };
    page.push(row);
  }
  return { rows: page, hasMore: false };
}

/** Whether the row is one that this query asks for. */
function createFilter(
  { settings }: World,
  query: ListQuery,
): (row: LeadRow | ContactRow) => boolean {
  const inRange = (value: number | null, range: Range | undefined): boolean => {
    if (range === undefined) return true;
    if (value === null) return false;
    const slack = settings.isRangeInclusive ? 0 : 1;
    return value >= (range.from ?? -Infinity) + slack && value <= (range.to ?? Infinity) - slack;
  };
  const { search } = query;
  if (!settings.areFiltersKnown) return () => true;
  return (row) =>
    (query.ids?.has(row.id) ?? true) &&
    inRange(row.updatedAt, query.updatedAt) &&
    inRange(row.createdAt, query.createdAt) &&
    (query.responsibleUserIds?.has(row.responsibleUserId) ?? true) &&
    (search === undefined || textOf(row).includes(search)) &&
    (!('pipelineId' in row) || isLeadWanted(row, query, inRange));
}

function isLeadWanted(
  row: LeadRow,
  query: ListQuery,
  inRange: (value: number | null, range: Range | undefined) => boolean,
): boolean {
  const { closedAt, pipelineIds, statuses } = query;
  return (
    inRange(row.closedAt, closedAt) &&
    (pipelineIds?.has(row.pipelineId) ?? true) &&
    (statuses?.some(
      ({ pipelineId, statusId }) => pipelineId === row.pipelineId && statusId === row.statusId,
    ) ??
      true)
  );
}

function textOf(row: LeadRow | ContactRow): string {
  const values = [...row.fields.values()].flat().map(({ value }) => String(value));
  return [row.name, ...values].join('\n').toLowerCase();
}

/** Rows of one second in another order with every salt. */
function shuffleTies<Row extends { id: number; updatedAt: number; createdAt: number }>(
  rows: readonly Row[],
  order: ListOrder,
  salt: number,
): Row[] {
  const key = order === 'created_at' ? 'createdAt' : 'updatedAt';
  return rows
    .map((row, index) => ({ row, index, share: shareOf(row.id, salt) }))
    .sort((a, b) => (a.row[key] === b.row[key] ? a.share - b.share : a.index - b.index))
    .map(({ row }) => row);
}
