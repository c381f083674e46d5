import { z } from 'zod';

/**
 * What Kommo's API v4 answers, as far as we read it. Fields that we do not know are passed over, and so are values of
 * types that we do not know: Kommo adds both without notice. What we do read must be there and be what it says.
 * Times are Unix seconds. https://developers.kommo.com/reference/
 */
const id = z.int().positive().max(Number.MAX_SAFE_INTEGER);
const seconds = z.int().nonnegative();
/** Kommo writes both for "none". */
const orNone = <T extends z.ZodType>(list: T) => z.array(list).nullish();

const customFieldValue = z.looseObject({
  value: z.unknown(),
  enum_code: z.string().nullish(),
});
export const customField = z.looseObject({
  field_id: id,
  field_name: z.string(),
  field_code: z.string().nullish(),
  field_type: z.string(),
  values: z.array(customFieldValue),
});
export type KommoCustomField = z.infer<typeof customField>;

export const tag = z.looseObject({ id, name: z.string(), color: z.string().nullish() });
export type KommoTag = z.infer<typeof tag>;

export const lead = z.looseObject({
  id,
  name: z.string().nullish(),
  price: z.number().nullish(),
  responsible_user_id: z.int().nullish(),
  status_id: id,
  pipeline_id: id,
  created_at: seconds,
  updated_at: seconds,
  closed_at: seconds.nullish(),
  is_deleted: z.boolean().optional(),
  custom_fields_values: orNone(customField),
  _embedded: z
    .looseObject({
      tags: orNone(tag),
      loss_reason: orNone(z.looseObject({ id, name: z.string() })),
      contacts: orNone(z.looseObject({ id, is_main: z.boolean().optional() })),
    })
    .optional(),
});
export type KommoLead = z.infer<typeof lead>;

/** `with=only_deleted` shows no more of a lead than this. */
export const deletedLead = z.looseObject({ id, updated_at: seconds, is_deleted: z.boolean() });
export type KommoDeletedLead = z.infer<typeof deletedLead>;

export const contact = z.looseObject({
  id,
  name: z.string().nullish(),
  first_name: z.string().nullish(),
  last_name: z.string().nullish(),
  responsible_user_id: z.int().nullish(),
  created_at: seconds,
  updated_at: seconds,
  is_deleted: z.boolean().optional(),
  custom_fields_values: orNone(customField),
  _embedded: z.looseObject({ tags: orNone(tag) }).optional(),
});
export type KommoContact = z.infer<typeof contact>;

const status = z.looseObject({
  id,
  name: z.string(),
  sort: z.number(),
  color: z.string().nullish(),
  /** 1: where incoming leads wait to be accepted. */
  type: z.int().nullish(),
});
export const pipeline = z.looseObject({
  id,
  name: z.string(),
  sort: z.number(),
  is_main: z.boolean().optional(),
  is_archive: z.boolean().optional(),
  _embedded: z.looseObject({ statuses: z.array(status) }),
});
export type KommoPipeline = z.infer<typeof pipeline>;

/** In every pipeline with the same ids. */
export const WON_STATUS_ID = 142;
export const LOST_STATUS_ID = 143;

export const user = z.looseObject({ id, name: z.string(), email: z.string().nullish() });
export type KommoUser = z.infer<typeof user>;

export const event = z.looseObject({
  id: z.string(),
  type: z.string(),
  entity_id: id,
  entity_type: z.string(),
  created_at: seconds,
});
export type KommoEvent = z.infer<typeof event>;

export const account = z.looseObject({
  id,
  name: z.string(),
  subdomain: z.string(),
  country: z.string().nullish(),
  currency: z.string().nullish(),
});
export type KommoAccount = z.infer<typeof account>;

/** Ten years: so long nobody gives a token. */
const TOKEN_SECONDS_MAX = 10 * 365 * 86_400;
export const tokenAnswer = z.looseObject({
  access_token: z.string().min(1),
  refresh_token: z.string().min(1),
  expires_in: z
    .int()
    .positive()
    .transform((given) => Math.min(given, TOKEN_SECONDS_MAX)),
});
