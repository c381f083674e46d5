import { z } from 'zod';
import { chats } from '../../../domain/entities/chats.ts';
import { ClarinError } from '../../../domain/errors.ts';
import { parseJid } from '../../../domain/jid.ts';
import { normalizePhone } from '../../../domain/phone.ts';
import { readEntity } from '../../../platform/entity-sql.ts';
import type { Queries } from '../../../platform/postgres.ts';
import { sql } from '../../../platform/sql.ts';
import { deleteChat } from '../../commands/delete-chat.ts';
import { markChatRead } from '../../commands/mark-chat-read.ts';
import { openChat } from '../../commands/open-chat.ts';
import { assertWithinDevices } from '../../commands/refusals.ts';
import type { App, Context } from '../context.ts';
import type { Answer } from '../plugins/idempotency.ts';
import { answerDeleted, viewerOf } from './entity-routes.ts';
import { etagOfAnswer } from './etag.ts';
import { notFound } from './read.ts';
import { readIfMatch } from './request-headers.ts';
import {
  answeredRow,
  answers,
  idParams,
  idSchema,
  oneOf,
  versionedWriteHeaders,
  writeHeaders,
} from './schemas.ts';
import { write } from './write.ts';

const config = { access: { permission: 'chats' } } as const;
const tags = ['chats'];
const row = oneOf(answeredRow(chats));

/** What chats have beyond the plain routes: they are opened and not created, read, and deleted with what is in them. */
export function registerChatRoutes(app: App, context: Context): void {
  registerOpen(app, context);
  registerDelete(app, context);
  registerRead(app, context, 'read');
  registerRead(app, context, 'unread');
}

const whom = {
  device_id: idSchema,
  name: (chats.columns.name.value as z.ZodType<string>).optional(),
};
const opening = z.union([
  z.strictObject({
    ...whom,
    phone: z.string().max(256).describe("As people type it; without a country code the account's."),
  }),
  z.strictObject({ ...whom, jid: z.string().min(1).max(128).describe("WhatsApp's address.") }),
  z.strictObject({ device_id: idSchema, contact_id: idSchema }),
]);

function registerOpen(app: App, context: Context): void {
  app.post(
    '/api/chats',
    {
      config,
      schema: {
        tags,
        summary:
          'Open the chat with a phone number, an address or a contact: 201 when it is new, else 200',
        body: opening,
        headers: writeHeaders,
        response: { ...answers(201, row), ...answers(200, row) },
      },
    },
    (request, reply) =>
      write(context, request, reply, async (tx) => {
        const { accountId, devices } = viewerOf(request);
        const { device_id: deviceId } = request.body;
        assertWithinDevices({ entity: chats, devices, values: { device_id: deviceId } }, true);
        const { id, created } = await openChat(tx, {
          accountId,
          deviceId,
          ...(await resolveAddress(tx, accountId, request.body)),
        });
        return answerChat(tx, { accountId, devices, id }, created ? 201 : 200);
      }),
  );
}

type Address = { jid?: string; phone?: string; contactId?: number; name?: string };

/** @throws ClarinError invalid_request when what was typed is no phone number or no address, with the reason. */
async function resolveAddress(
  tx: Queries,
  accountId: number,
  given: z.output<typeof opening>,
): Promise<Address> {
  if ('contact_id' in given) return { contactId: given.contact_id };
  const name = given.name === undefined ? {} : { name: given.name };
  if ('jid' in given) return { jid: readJid(given.jid), ...name };
  const [account] = await tx.query(sql`
    select default_country from public.accounts where id = ${accountId}`);
  const phone = normalizePhone(given.phone, account?.['default_country'] ?? '');
  if (phone.ok) return { phone: phone.e164, ...name };
  throw malformed('body.phone', phone.says, phone.reason);
}

/** The form in which addresses are stored. */
function readJid(text: string): string {
  const jid = parseJid(text);
  if (jid?.kind === 'user' || jid?.kind === 'lid' || jid?.kind === 'group') return jid.address;
  throw malformed('body.jid', 'is not the address of a person or a group', 'address');
}

function malformed(field: string, says: string, reason: string): ClarinError {
  return new ClarinError('invalid_request', `${field}: ${says}`, {
    details: { fields: [{ field, says, reason }] },
  });
}

function registerDelete(app: App, context: Context): void {
  app.delete(
    '/api/chats/:id',
    {
      config,
      schema: {
        tags,
        summary: 'Delete a chat with its messages for good; never its contact',
        params: idParams,
        headers: versionedWriteHeaders,
        response: answers(200, row),
      },
    },
    (request, reply) =>
      write(context, request, reply, async (tx) => {
        const { accountId, devices } = viewerOf(request);
        const chat = { id: request.params.id, ifMatch: readIfMatch(request) };
        return answerDeleted(await deleteChat(tx, { accountId, devices, ...chat }));
      }),
  );
}

function registerRead(app: App, context: Context, mark: 'read' | 'unread'): void {
  app.post(
    `/api/chats/:id/${mark}`,
    {
      config,
      schema: {
        tags,
        summary: mark === 'read' ? 'Everything in it is read' : 'Mark as unread',
        params: idParams,
        body: z.strictObject({}).nullish(),
        headers: writeHeaders,
        response: answers(200, row),
      },
    },
    (request, reply) =>
      write(context, request, reply, async (tx) => {
        const { accountId, devices } = viewerOf(request);
        const { id } = request.params as z.output<typeof idParams>;
        const chat = { accountId, devices, chatId: id, isRead: mark === 'read' };
        if (!(await markChatRead(tx, chat))) throw notFound();
        return answerChat(tx, { accountId, devices, id }, 200);
      }),
  );
}

type ChatPlace = { accountId: number; devices: readonly number[] | undefined; id: number };

async function answerChat(tx: Queries, place: ChatPlace, status: 200 | 201): Promise<Answer> {
  const json = await readEntity(tx, chats, place);
  if (json === undefined) throw notFound();
  const body = `{"data":${json}}`;
  return { status, body, etag: etagOfAnswer(chats, body) };
}
