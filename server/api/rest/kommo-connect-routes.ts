import { z } from 'zod';
import { kommo_connections } from '../../../domain/entities/kommo_connections.ts';
import { rowSchema } from '../../../domain/entity.ts';
import { ClarinError } from '../../../domain/errors.ts';
import { connectKommo } from '../../commands/connect-kommo.ts';
import { createKommoClient } from '../../kommo/client.ts';
import { KommoError } from '../../kommo/errors.ts';
import { readClaims } from '../../kommo/jwt.ts';
import type { KommoMeans } from '../../kommo/means.ts';
import { exchangeCode } from '../../kommo/oauth.ts';
import { principalOf, type App, type Context } from '../context.ts';
import { loadRow } from './loaders.ts';
import { notFound } from './read.ts';
import { answers, idParams, oneOf, writeHeaders } from './schemas.ts';
import { write } from './write.ts';

const config = { access: { permission: 'integrations' } } as const;
const tags = ['kommo'];
const path = '/api/kommo/connections';
const row = rowSchema(kommo_connections);
const token = z
  .string()
  .min(1)
  .max(8_192)
  .regex(/^[\x21-\x7e]+$/, 'is not a token');

const connecting = z
  .strictObject({
    subdomain: z
      .string()
      .regex(/^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/i, 'is the part before .kommo.com')
      .describe('`example` of example.kommo.com.'),
    access_token: token.nullish().describe('A token that is known already; or else `code`.'),
    refresh_token: token.nullish().describe('Absent for a long-lived token.'),
    expires_at: (kommo_connections.columns.token_expires_at.value as z.ZodType<string>)
      .nullish()
      .describe('Of the access token. What the token says itself when absent.'),
    code: token
      .nullish()
      .describe('What Kommo sent the browser back with; good once, for some minutes.'),
  })
  .refine(
    ({ access_token, code }) => ((access_token ?? null) === null) !== ((code ?? null) === null),
    {
      path: ['access_token'],
      message: 'one of access_token and code is needed, and only one',
    },
  )
  .meta({ example: { subdomain: 'example', access_token: 'eyJhbGciOiJSUzI1NiJ9.e30.x' } });
type Connecting = z.infer<typeof connecting>;

/** Connecting, and asking Kommo whether a connection works. */
export function registerKommoConnectRoutes(app: App, context: Context, kommo: KommoMeans): void {
  registerConnect(app, context, kommo);
  registerTest(app, context, kommo);
}

function registerConnect(app: App, context: Context, kommo: KommoMeans): void {
  app.post(
    path,
    {
      config,
      schema: {
        tags,
        summary: 'Connect a Kommo account, or one that was connected before, with new tokens',
        description: '201 for a new connection, 200 for one that goes on. Tokens are kept sealed.',
        body: connecting,
        headers: writeHeaders,
        response: { 200: oneOf(row), ...answers(201, oneOf(row)) },
      },
    },
    (request, reply) =>
      write(context, request, reply, async (tx) => {
        const subdomain = request.body.subdomain.toLowerCase();
        const access = await accessOf(kommo, { ...request.body, subdomain }, request.cancel);
        const { accountId } = principalOf(request);
        const { json, isNew } = await connectKommo(tx, {
          box: kommo.box,
          accountId,
          subdomain,
          ...access,
        });
        return { status: isNew ? 201 : 200, body: `{"data":${json}}` };
      }),
  );
}

async function accessOf(kommo: KommoMeans, given: Connecting, signal: AbortSignal) {
  const { subdomain, code, access_token: accessToken, refresh_token, expires_at } = given;
  if (typeof code === 'string') {
    const { tokens, expiresAtMs } = await exchangeCode(kommo, { subdomain, code, signal }).catch(
      refuse,
    );
    return { tokens, expiresAt: new Date(expiresAtMs).toISOString() };
  }
  const { expiresAtMs } = readClaims(accessToken ?? '');
  const said = expiresAtMs === undefined ? undefined : new Date(expiresAtMs).toISOString();
  return {
    tokens: { accessToken: accessToken ?? '', refreshToken: refresh_token ?? undefined },
    expiresAt: expires_at ?? said,
  };
}

/** What Kommo says to a code is for the person who brought it. */
function refuse(error: unknown): never {
  if (!(error instanceof KommoError)) throw error;
  const isOfTheCode = error.kind === 'needs_reauth' || error.kind === 'rejected';
  const { kind, message } = error;
  throw new ClarinError(
    isOfTheCode || kind === 'not_found' ? 'unprocessable' : 'unavailable',
    message,
    {
      details: { reason: kind },
    },
  );
}

const tested = z.object({
  ok: z.boolean(),
  account: z
    .object({
      id: z.int(),
      name: z.string(),
      subdomain: z.string(),
      currency: z.string().nullish(),
    })
    .optional()
    .describe('As Kommo says it now; absent when it did not answer.'),
  reason: z.string().optional().describe('For programs: `needs_reauth`, `blocked`, `unavailable`…'),
  says: z.string().optional().describe('For people.'),
  until: z.iso.datetime().optional().describe('When Kommo may be asked again.'),
});

function registerTest(app: App, context: Context, kommo: KommoMeans): void {
  app.post(
    `${path}/:id/test`,
    {
      config,
      schema: {
        tags,
        summary: 'Ask Kommo for the account, with the tokens of the connection',
        description: '200 also when Kommo refuses: `ok` says it. Writes nothing.',
        params: idParams,
        response: answers(200, oneOf(tested)),
      },
    },
    async (request, reply) => {
      const { accountId } = principalOf(request);
      const { id } = request.params;
      const connection = await loadRow(context.database, kommo_connections, { accountId, id });
      if (connection === undefined) throw notFound();
      const { subdomain } = (JSON.parse(connection) as { data: { subdomain: string } }).data;
      const client = createKommoClient({
        ...kommo,
        connection: { id, accountId, subdomain },
        signal: request.cancel,
      });
      return reply.send({ data: await client.account('interactive').then(sayAccount, sayFailed) });
    },
  );
}

type Tested = z.infer<typeof tested>;

function sayAccount({ id, name, subdomain, currency }: NonNullable<Tested['account']>): Tested {
  return { ok: true, account: { id, name, subdomain, currency: currency ?? undefined } };
}

function sayFailed(error: unknown): Tested {
  if (!(error instanceof KommoError)) throw error;
  const until = error.untilMs === undefined ? undefined : new Date(error.untilMs).toISOString();
  return { ok: false, reason: error.kind, says: error.message, until };
}
