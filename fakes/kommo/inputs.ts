import { z } from 'zod';
import { ENTITIES } from './model.ts';

/** What the world is told, in process and under /__admin alike. */
const id = z.int().positive();
const name = z.string().max(255);
/** Who does it; a robot without. */
const by = z.int().min(0).optional();

const fieldValue = z.looseObject({
  value: z.unknown(),
  enum_id: z.int().optional(),
  enum_code: z.string().nullable().optional(),
});
/** As people think of it (`'Web'`, `34`, `['Ingles', 'Excel']`) or as the API writes it. Null and [] clear the field. */
const fieldInput = z.union([
  z.string(),
  z.number(),
  z.boolean(),
  z.null(),
  z.array(z.union([z.string(), z.number(), fieldValue])),
]);
export type FieldInput = z.infer<typeof fieldInput>;
/** By the field's name, code or id. */
const fields = z.record(z.string(), fieldInput).optional();

export const leadInput = z.strictObject({
  name: name.optional(),
  price: z.number().min(0).optional(),
  pipelineId: id.optional(),
  statusId: id.optional(),
  responsibleUserId: id.optional(),
  /** With status 143 only. */
  lossReasonId: id.nullable().optional(),
  closestTaskAt: z.int().nullable().optional(),
  fields,
  /** All of them, by name; unknown ones are made. */
  tags: z.array(name.min(1)).optional(),
  /** All of them; the first one is the main contact. */
  contactIds: z.array(id).optional(),
  by,
});
export type LeadInput = z.infer<typeof leadInput>;

export const contactInput = z.strictObject({
  /** Without it: first and last name. */
  name: name.optional(),
  firstName: name.optional(),
  lastName: name.optional(),
  responsibleUserId: id.optional(),
  closestTaskAt: z.int().nullable().optional(),
  fields,
  /** For the fields with the codes PHONE and EMAIL: the first is a WORK one, the others MOB and PRIV. */
  phones: z.array(z.string()).optional(),
  emails: z.array(z.string()).optional(),
  tags: z.array(name.min(1)).optional(),
  by,
});
export type ContactInput = z.infer<typeof contactInput>;

export const accountInput = z.strictObject({
  subdomain: z.string().regex(/^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/),
  name: name.optional(),
  country: z.string().length(2).optional(),
  currency: z.string().length(3).optional(),
  currencySymbol: z.string().optional(),
});
export type AccountInput = z.infer<typeof accountInput>;

export const generateInput = z.strictObject({
  leads: z.int().min(0).max(1_000_000).default(0),
  contacts: z.int().min(0).max(1_000_000).default(0),
  /** The world's own without it. */
  seed: z.int().optional(),
});
export type GenerateInput = z.input<typeof generateInput>;

export const stageInput = z.strictObject({
  name: name.min(1),
  color: z
    .string()
    .regex(/^#[0-9a-fA-F]{6}$/)
    .optional(),
});
export type StageInput = z.infer<typeof stageInput>;

export const pipelineInput = z.strictObject({
  name: name.min(1),
  /** Besides the incoming one, won and lost. */
  stages: z.array(stageInput).max(97).default([]),
});
export type PipelineInput = z.input<typeof pipelineInput>;

export const userInput = z.strictObject({
  name: name.min(1),
  email: z.string(),
  isAdmin: z.boolean().optional(),
  isActive: z.boolean().optional(),
});
export type UserInput = z.infer<typeof userInput>;

export const tagInput = z.strictObject({
  entity: z.enum(ENTITIES),
  name: name.min(1),
  color: z.string().nullable().optional(),
});

export const fieldDefinitionInput = z.strictObject({
  entity: z.enum(ENTITIES),
  name: name.min(1),
  code: z.string().nullable().optional(),
  /** `text`, `numeric`, `select`, ...: any word, Kommo adds types too. */
  type: z.string().min(1),
  /** What a select offers; of a multitext the codes (WORK, MOB). */
  enums: z.array(z.string()).optional(),
});
export type FieldDefinitionInput = z.infer<typeof fieldDefinitionInput>;
