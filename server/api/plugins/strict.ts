import { z } from 'zod';
import type { App } from '../context.ts';

const FORM_TYPE = 'multipart/form-data';
const WITH_BODY = new Set(['POST', 'PUT', 'PATCH', 'DELETE']);

const noQuery = z.strictObject({});
const noBody = z.strictObject({}).nullish();

/**
 * What a route of the API does not declare it does not take: a mistyped parameter is refused, not ignored. Before
 * the routes.
 */
export function registerStrict(app: App): void {
  app.addHook('onRoute', (route) => {
    if (!route.url.startsWith('/api/')) return;
    const schema = (route.schema ??= {});
    schema.querystring ??= noQuery;
    if (
      !route.method
        .toString()
        .split(',')
        .every((method) => WITH_BODY.has(method))
    )
      return;
    // A form is read part by part, by the route itself.
    if (!schema.consumes?.includes(FORM_TYPE)) schema.body ??= noBody;
  });
}

type Schemas = { readonly body?: unknown; readonly consumes?: readonly string[] };

/** How a route's body is shown: a form by its file, and none at all where nothing but an empty one is taken. */
export function documentedBody<S extends Schemas>(schema: S, method: string): S {
  if (schema.consumes?.includes(FORM_TYPE) && schema.body === undefined)
    return { ...schema, body: FORM };
  const isNone = schema.body === noBody && method === 'DELETE';
  if (!isNone) return schema;
  const { body: _none, ...shown } = schema;
  return shown as S;
}

const FORM = z
  .object({ file: z.string().meta({ format: 'binary' }).describe('The bytes of the file.') })
  .describe('One part called `file`.');
