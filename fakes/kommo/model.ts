/** What an account of Kommo's holds. Rows are never changed in place: an edit puts another one there. Times are Unix seconds. */
export const ENTITIES = ['leads', 'contacts'] as const;
export type EntityName = (typeof ENTITIES)[number];
/** In events and webhooks. */
export const SINGULAR = { leads: 'lead', contacts: 'contact' } as const;

/** As in `custom_fields_values[].values[]`. */
export type FieldValue = {
  readonly value: unknown;
  readonly enum_id?: number;
  readonly enum_code?: string | null;
};
/** By field id. A field without a value is not in it. */
export type FieldValues = ReadonlyMap<number, readonly FieldValue[]>;

export type CommonRow = {
  readonly id: number;
  readonly name: string;
  readonly responsibleUserId: number;
  readonly createdBy: number;
  readonly updatedBy: number;
  readonly createdAt: number;
  readonly updatedAt: number;
  readonly closestTaskAt: number | null;
  readonly fields: FieldValues;
  readonly tagIds: readonly number[];
  /** In the trash: in no list but `only_deleted`, and can be restored. */
  readonly isDeleted: boolean;
  /** Waits among the incoming leads: in no list until it is accepted. */
  readonly isUnsorted: boolean;
};

export type LeadRow = CommonRow & {
  readonly price: number;
  readonly pipelineId: number;
  readonly statusId: number;
  readonly lossReasonId: number | null;
  readonly closedAt: number | null;
  readonly contacts: readonly { readonly id: number; readonly isMain: boolean }[];
};

export type ContactRow = CommonRow & { readonly firstName: string; readonly lastName: string };

export type RowOf<E extends EntityName> = E extends 'leads' ? LeadRow : ContactRow;

/** Something happened to a row; events and webhooks derive from it. `before` of a new row is undefined. */
export type Change = {
  readonly kind: 'added' | 'updated' | 'deleted' | 'restored' | 'merged';
  /** Who did it; 0 is a robot. */
  readonly by: number;
} & (
  | { readonly entity: 'leads'; readonly before: LeadRow | undefined; readonly after: LeadRow }
  | {
      readonly entity: 'contacts';
      readonly before: ContactRow | undefined;
      readonly after: ContactRow;
    }
);

/** In every pipeline with the same ids. */
export const WON = 142;
export const LOST = 143;

/** What was asked of the world cannot be: there is no such row, or it is not in that state. */
export class WorldError extends Error {
  override readonly name = 'WorldError';
}

export function mustFind<T>(found: T | undefined, what: string): T {
  if (found === undefined) throw new WorldError(`there is no ${what}`);
  return found;
}
