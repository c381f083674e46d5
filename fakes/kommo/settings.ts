import { z } from 'zod';

/** From and to, milliseconds: each time another span between them. */
const delay = z
  .tuple([z.number().min(0), z.number().min(0)])
  .refine(([from, to]) => from <= to, 'from and to, in this order');

/**
 * How one account answers. What Kommo documents is the default; what is undocumented, contradictory or has been seen only
 * now and then has a switch here, so that a client can be tried against both.
 */
export const worldSettings = z.strictObject({
  /**
   * `_links.next` of leads, contacts and events: when the page is full, though the next one may be empty (as seen); when
   * there is more; with every page that has rows; or never.
   */
  nextLink: z.enum(['when-full', 'when-more', 'always', 'never']).default('when-full'),
  /** A limit above 250 is refused with 422, or 50 are given. */
  aboveLimit: z.enum(['refuse', 'default']).default('refuse'),
  /** The order within one second: by id, or another one with every request. */
  ties: z.enum(['by-id', 'shuffled']).default('by-id'),
  /** Whether `[from]` and `[to]` include the second they name. */
  isRangeInclusive: z.boolean().default(true),
  /** Not so in accounts without the filter feature: then filters are ignored without a word. */
  areFiltersKnown: z.boolean().default(true),
  /** Until a changed lead or contact is in the lists as it is. One row is always current. */
  listDelayMs: delay.default([0, 0]),
  eventDelayMs: delay.default([0, 0]),
  eventOrder: z.enum(['newest', 'oldest']).default('newest'),
  /** Of events; above it this many are given. Documented as 250 now and as 100 before. */
  eventsPerPageMax: z.int().min(1).max(250).default(250),
  /** Share of events nobody gets to see. */
  eventLoss: z.number().min(0).max(1).default(0),
  doTagsRaiseUpdatedAt: z.boolean().default(true),
  doLinksRaiseUpdatedAt: z.boolean().default(true),
  /** Whether the contact that a merge swallows has a `contact_deleted` of its own. */
  doesMergeTellDeleted: z.boolean().default(false),
  /** `custom_fields_values` of a row without any. */
  emptyFields: z.enum(['null', 'list']).default('null'),
  /** The token's user is no administrator: users and webhooks answer 403. */
  isAdministrator: z.boolean().default(true),
  /** The plan has ended: 402 for everything. */
  isPaymentRequired: z.boolean().default(false),
  /** The user lost the right to see this share of leads and of contacts: they are as if they were not there. */
  hiddenShare: z.number().min(0).max(1).default(0),
  accessTokenSeconds: z.int().min(1).default(86_400),
  refreshTokenSeconds: z
    .int()
    .min(1)
    .default(90 * 86_400),
});
export type WorldSettings = z.output<typeof worldSettings>;
export type WorldSettingsInput = Partial<WorldSettings>;
