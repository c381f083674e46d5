import { z } from 'zod';
import { isStorable, NOT_STORABLE, text } from '../../../domain/column.ts';
import { CAMPAIGN_CLIENT } from '../../commands/campaign-message.ts';
import { idSchema } from './schemas.ts';

/** Bodies of the routes that send. Lengths are those WhatsApp takes. */

const TEXT_MAX = 65_536;
const CAPTION_MAX = 1_024;
const QUESTION_MAX = 255;
const OPTION_MAX = 100;
const OPTIONS_MAX = 12;
const EMOJI_MAX = 64;
const DESTINATIONS_MAX = 20;

const written = (max: number) => text({ min: 1, max }).value as z.ZodType<string>;

const clientId = z
  .string()
  .min(1)
  .max(128)
  .refine(isStorable, NOT_STORABLE)
  .refine((given) => !given.startsWith(CAMPAIGN_CLIENT), 'begins as those of campaigns do')
  .optional()
  .describe('Your own id of this message: sent again, it answers the first row and sends nothing.');
const replyTo = idSchema.optional().describe('A message of this chat that is answered.');

const options = z
  .array(written(OPTION_MAX))
  .min(2)
  .max(OPTIONS_MAX)
  .refine((names) => new Set(names).size === names.length, 'has the same option twice')
  .meta({ example: ['Today', 'Tomorrow'] });

export const sendingSchema = z.discriminatedUnion('kind', [
  z.strictObject({
    kind: z.literal('text'),
    body: written(TEXT_MAX),
    reply_to: replyTo,
    client_id: clientId,
  }),
  z.strictObject({
    kind: z.literal('media'),
    media_id: idSchema.describe('An uploaded file; what it is sent as follows from its type.'),
    caption: written(CAPTION_MAX).optional(),
    reply_to: replyTo,
    client_id: clientId,
  }),
  z
    .strictObject({
      kind: z.literal('poll'),
      question: written(QUESTION_MAX),
      options,
      selectable_count: z
        .int()
        .min(0)
        .default(1)
        .describe('How many options one may choose; 0: any number.'),
      client_id: clientId,
    })
    .refine((poll) => poll.selectable_count <= poll.options.length, {
      path: ['selectable_count'],
      message: 'is more than there are options',
    }),
]);

export type Sending = z.output<typeof sendingSchema>;

/** One emoji as people see it, which may be many code points. */
const EMOJI = /\p{Extended_Pictographic}|\p{Regional_Indicator}|\u20e3/u;
const segmenter = new Intl.Segmenter();

export function isEmoji(given: string): boolean {
  const [first, second] = segmenter.segment(given);
  return first !== undefined && second === undefined && EMOJI.test(given);
}

export const reactionSchema = z.strictObject({
  emoji: z
    .string()
    .max(EMOJI_MAX)
    .refine((given) => isStorable(given) && isEmoji(given), 'is not one emoji')
    .nullable()
    .describe('null takes it back.'),
  client_id: clientId,
});

const isEachOnce = (values: readonly unknown[]): boolean => new Set(values).size === values.length;

export const forwardSchema = z.strictObject({
  to: z
    .array(z.strictObject({ chat_id: idSchema, client_id: clientId }))
    .min(1)
    .max(DESTINATIONS_MAX)
    .refine((to) => isEachOnce(to.map((one) => one.chat_id)), 'names a chat twice')
    .refine(
      (to) => isEachOnce(to.flatMap((one) => one.client_id ?? [])),
      'has the same client_id twice',
    ),
});

export const editSchema = z.strictObject({ body: written(TEXT_MAX), client_id: clientId });

export const revokeSchema = z.strictObject({ client_id: clientId }).nullish();
