import swagger from '@fastify/swagger';
import swaggerUi from '@fastify/swagger-ui';
import { createJsonSchemaTransform } from 'fastify-type-provider-zod';
import { TOKEN_COOKIE } from './auth.ts';
import type { App } from '../context.ts';
import { addExamples } from './openapi-examples.ts';
import { documentedBody } from './strict.ts';

const transform = createJsonSchemaTransform({ zodToJsonConfig: { unrepresentable: 'any' } });

/** OpenAPI 3.1, generated from the schemas that validate: page at /docs, document at /docs/json. Before the routes. */
export async function registerOpenApi(app: App): Promise<void> {
  await app.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: {
        title: 'Clarin',
        version: '1',
        description:
          'Reads say `Clarin-Cache` and `Clarin-Cursor`; writes say `Clarin-Commit` and take `Idempotency-Key` and ' +
          '`X-Operation-Id`. Errors are `{error, code, details?}`. What is null is left out of a row.',
      },
      components: {
        securitySchemes: {
          bearer: { type: 'http', scheme: 'bearer', bearerFormat: 'JWT' },
          cookie: { type: 'apiKey', in: 'cookie', name: TOKEN_COOKIE },
        },
      },
      security: [{ bearer: [] }, { cookie: [] }],
    },
    transform: (given) =>
      transform({ ...given, schema: documentedBody(given.schema, given.route.method.toString()) }),
    transformObject: (given) =>
      'openapiObject' in given ? addExamples(given.openapiObject) : given.swaggerObject,
  });
  await app.register(swaggerUi, { routePrefix: '/docs' });
}
