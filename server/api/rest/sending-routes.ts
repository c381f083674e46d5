import { z } from 'zod';
import { messages } from '../../../domain/entities/messages.ts';
import type { Queries } from '../../../platform/postgres.ts';
import { editMessage } from '../../commands/edit-message.ts';
import { forwardMessage } from '../../commands/forward-message.ts';
import type { Sender } from '../../commands/outgoing.ts';
import { revokeMessage } from '../../commands/revoke-message.ts';
import { sendMedia } from '../../commands/send-media.ts';
import { sendMessage } from '../../commands/send-message.ts';
import { sendPoll } from '../../commands/send-poll.ts';
import { sendReaction } from '../../commands/send-reaction.ts';
import { principalOf, type App, type Context, type Request } from '../context.ts';
import { viewerOf } from './entity-routes.ts';
import { answeredRow, answers, idParams, oneOf, writeHeaders } from './schemas.ts';
import {
  editSchema,
  forwardSchema,
  reactionSchema,
  revokeSchema,
  sendingSchema,
  type Sending,
} from './sending-schemas.ts';
import { write } from './write.ts';

const row = oneOf(answeredRow(messages));
const rows = z.object({ data: z.array(answeredRow(messages)) });

/**
 * What is sent is a row in state pending, answered with 202: the worker that holds the device sends it, and its status
 * comes by the feed.
 */
export function registerSendingRoutes(app: App, context: Context): void {
  registerSending(app, context, {
    path: '/api/chats/:id/messages',
    summary: 'Send a text, a file or a poll',
    body: sendingSchema,
    answered: row,
    run: (tx, chatId, { body, sender }) => sendKind(tx, chatId, body, sender),
  });
  registerSending(app, context, {
    path: '/api/messages/:id/reaction',
    summary: 'React to a message, or take the reaction back',
    body: reactionSchema,
    answered: row,
    run: (tx, messageId, { body, sender }) =>
      sendReaction(tx, { ...sender, messageId, emoji: body.emoji, clientId: body.client_id }),
  });
  registerSending(app, context, {
    path: '/api/messages/:id/forward',
    summary: 'Forward a message, to all of the chats or none',
    body: forwardSchema,
    answered: rows,
    run: async (tx, messageId, { body, sender }) => {
      const to = body.to.map((one) => ({ chatId: one.chat_id, clientId: one.client_id }));
      return `[${(await forwardMessage(tx, { ...sender, messageId, to })).join(',')}]`;
    },
  });
  registerSending(app, context, {
    path: '/api/messages/:id/edit',
    summary: 'Give a text of ours other words, within 15 minutes',
    body: editSchema,
    answered: row,
    run: (tx, messageId, { body, sender }) =>
      editMessage(tx, { ...sender, messageId, body: body.body, clientId: body.client_id }),
  });
  registerSending(app, context, {
    path: '/api/messages/:id/revoke',
    summary: 'Take a message of ours back for everybody',
    body: revokeSchema,
    answered: row,
    run: (tx, messageId, { body, sender }) =>
      revokeMessage(tx, { ...sender, messageId, clientId: body?.client_id }),
  });
}

type SendingRoute<B extends z.ZodType> = {
  path: string;
  summary: string;
  body: B;
  answered: z.ZodType;
  /** Gives what is answered as `data`, JSON text. */
  run: (tx: Queries, id: number, request: { body: z.output<B>; sender: Sender }) => Promise<string>;
};

function registerSending<B extends z.ZodType>(
  app: App,
  context: Context,
  { path, summary, body, answered, run }: SendingRoute<B>,
): void {
  app.post(
    path,
    {
      config: { access: { permission: 'chats' } },
      schema: {
        tags: ['messages'],
        summary,
        params: idParams,
        body,
        headers: writeHeaders,
        response: answers(202, answered),
      },
    },
    (request, reply) =>
      write(context, request, reply, async (tx) => {
        const { id } = request.params as z.output<typeof idParams>;
        const given = { body: request.body as z.output<B>, sender: senderOf(request) };
        return { status: 202, body: `{"data":${await run(tx, id, given)}}` };
      }),
  );
}

function senderOf(request: Request): Sender {
  const { accountId, devices } = viewerOf(request);
  return { accountId, devices, actorId: principalOf(request).userId };
}

function sendKind(tx: Queries, chatId: number, sending: Sending, who: Sender): Promise<string> {
  const sender = { ...who, clientId: sending.client_id, chatId };
  switch (sending.kind) {
    case 'text':
      return sendMessage(tx, { ...sender, body: sending.body, replyTo: sending.reply_to });
    case 'media':
      return sendMedia(tx, {
        ...sender,
        mediaId: sending.media_id,
        caption: sending.caption,
        replyTo: sending.reply_to,
      });
    case 'poll':
      return sendPoll(tx, {
        ...sender,
        question: sending.question,
        options: sending.options,
        selectable: sending.selectable_count,
      });
    default:
      return sending satisfies never;
  }
}
