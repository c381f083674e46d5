import { beforeAll, expect, test } from 'vitest';
import { ENTITIES } from '../../domain/registry.ts';
import { startTestApi, type TestApi } from './support.ts';

type Operation = {
  summary?: string;
  tags?: string[];
  parameters?: { in: string; name: string; required?: boolean; schema?: object }[];
  requestBody?: { content: Record<string, { schema?: object }> };
  responses: Record<string, { content?: Record<string, { schema?: object }> }>;
};
type Document = { openapi: string; paths: Record<string, Record<string, Operation>> };

let api: TestApi;
let document: Document;

beforeAll(async () => {
  api = await startTestApi();
  document = (await api.ask(undefined, 'GET', '/docs/json')).body;
});

const operations = () =>
  Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({ path, method, operation })),
  );

test('the document is OpenAPI 3.1 and its page is served', async () => {
  expect(document.openapi).toMatch(/^3\.1\./);
  const page = await api.ask(undefined, 'GET', '/docs');
  expect(page.status).toBe(200);
  expect(page.headers['content-type']).toContain('text/html');
});

test('every route the server has is in the document', () => {
  const routes = api.app
    .printRoutes({ commonPrefix: false })
    .split('\n')
    .length;
  expect(routes).toBeGreaterThan(30);
  for (const entity of ENTITIES.filter(({ rest }) => rest === 'crud')) {
    expect(Object.keys(document.paths[`/api/${entity.table}`] ?? {})).toEqual(expect.arrayContaining(['get', 'post']));
    expect(Object.keys(document.paths[`/api/${entity.table}/{id}`] ?? {})).toEqual(
      expect.arrayContaining(['get', 'patch', 'delete']),
    );
  }
  const paths = operations().map(({ method, path }) => `${method} ${path}`);
  expect(paths).toEqual(
    expect.arrayContaining([
      'post /api/auth/login',
      'post /api/auth/refresh',
      'post /api/auth/logout',
      'post /api/auth/switch-account',
      'post /api/auth/password',
      'get /api/auth/me',
      'get /api/leads/board',
      'post /api/leads/bulk',
      'post /api/leads/{id}/stage',
      'post /api/tags/{id}/assign',
      'put /api/pipelines/{id}/stages',
      'get /api/users',
      'get /ops/slots',
    ]),
  );
});

test('every operation says what it is, takes and answers', () => {
  for (const { path, method, operation } of operations()) {
    const name = `${method} ${path}`;
    expect(operation.summary, name).toBeTruthy();
    expect(operation.tags, name).toHaveLength(1);
    const inPath = [...path.matchAll(/\{(\w+)\}/g)].map(([, parameter]) => parameter);
    const declared = (operation.parameters ?? []).filter((parameter) => parameter.in === 'path');
    expect(declared.map((parameter) => parameter.name), name).toEqual(inPath);
    for (const parameter of operation.parameters ?? []) expect(parameter.schema, name).toBeTypeOf('object');
    const good = Object.entries(operation.responses).filter(([status]) => status.startsWith('2'));
    expect(good.length, name).toBeGreaterThan(0);
    for (const [status, response] of good) {
      if (status === '204') continue;
      const [content] = Object.values(response.content ?? {});
      expect(Object.keys(content?.schema ?? {}).length, name).toBeGreaterThan(0);
    }
    if (['post', 'put', 'patch'].includes(method) && !path.endsWith('/logout')) {
      expect(operation.requestBody?.content['application/json']?.schema, name).toBeTypeOf('object');
    }
  }
});

test('every reference in the document points to something', () => {
  const references = [...JSON.stringify(document).matchAll(/"\$ref":"#([^"]+)"/g)].map(([, pointer]) => pointer ?? '');
  for (const pointer of references) {
    const target = pointer
      .split('/')
      .slice(1)
      .reduce<unknown>((node, part) => (node as Record<string, unknown> | undefined)?.[part.replaceAll('~1', '/')], document);
    expect(target, pointer).toBeDefined();
  }
});

test('a lead is described with its stage, contact and tags', () => {
  const schema = document.paths['/api/leads/{id}']?.['get']?.responses['200']?.content?.['application/json']?.schema;
  const text = JSON.stringify(schema);
  for (const name of ['"stage"', '"contact"', '"tags"', '"display_name"']) expect(text).toContain(name);
  expect(text).not.toContain('password_hash');
});
