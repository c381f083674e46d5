import { validatorCompiler } from 'fastify-type-provider-zod';
import { z } from 'zod';
import { ClarinError } from '../../../domain/errors.ts';
import type { App } from '../context.ts';

const FORM_TYPE = 'multipart/form-data';
const WITH_BODY = new Set(['POST', 'PUT', 'PATCH', 'DELETE']);

const noQuery = z.strictObject({});
const noBody = z.strictObject({}).nullish();
const oneFile = z
  .object({ file: z.string().meta({ format: 'binary' }).describe('The bytes of the file.') })
  .describe('One part called `file`.');

/**
 * What a route of the API does not declare it does not take: a mistyped parameter is refused, not ignored. Before
 * the routes.
 */
export function registerStrict(app: App): void {
  app.addHook('onRoute', (route) => {
    if (!route.url.startsWith('/api/')) return;
    const schema = (route.schema ??= {});
    schema.querystring ??= noQuery;
    if (!WITH_BODY.has(route.method.toString())) return;
    if (!schema.consumes?.includes(FORM_TYPE)) {
      schema.body ??= noBody;
      return;
    }
    schema.body ??= oneFile;
    // A form is read part by part, by the route itself: its schema is what the document shows.
    route.validatorCompiler = (part) =>
      part.httpPart === 'body' ? () => true : validatorCompiler(part as never);
  });
  // Nobody would read it, and a body that is not read is as good as none.
  app.addHook('preValidation', (request, _reply, done) => {
    const takesForm = request.routeOptions.schema?.consumes?.includes(FORM_TYPE) === true;
    if (!request.isMultipart() || takesForm) return done();
    done(new ClarinError('invalid_request', 'this route takes JSON, not a form'));
  });
}

/** How a route's body is shown: a DELETE that takes none has none. */
export function documentedBody<S extends { readonly body?: unknown }>(schema: S, method: string) {
  if (schema.body !== noBody || method !== 'DELETE') return schema;
  const { body: _none, ...shown } = schema;
  return shown as S;
}
