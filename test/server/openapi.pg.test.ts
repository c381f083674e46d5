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

test('the document is OpenAPI 3.1 and its page is served', async () => {
  expect(document.openapi).toMatch(/^3\.1\./);
  const page = await api.ask(undefined, 'GET', '/docs');
  expect(page.status).toBe(200);
  expect(page.headers['content-type']).toContain('text/html');
});

/** `get /api/leads/{id}` for every line of the router's own listing, which nests by what paths begin with. */
function routesOfServer(): string[] {
  const open: string[] = [];
  const routes: string[] = [];
  for (const line of api.app.printRoutes({ commonPrefix: false }).split('\n')) {
    const match = /^([│ ]*)[├└]── (\S+)(?: \(([A-Z, ]+)\))?$/.exec(line);
    if (!match) continue;
    const [, indent = '', piece = '', methods] = match;
    open.length = indent.length / 4;
    open.push(piece);
    const path = open.join('').replaceAll(/:(\w+)/g, '{$1}');
    for (const method of methods?.toLowerCase().split(', ') ?? []) routes.push(`${method} ${path}`);
  }
  return routes.filter((route) => !route.startsWith('head ') && !/^\w+ (\/docs|\*)/.test(route));
}

test('every route the server has is in the document, and nothing else', () => {
  const documented = Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.keys(methods).map((method) => `${method} ${path}`),
  );
  expect(routesOfServer().toSorted()).toEqual(documented.toSorted());
  for (const { table } of ENTITIES.filter(({ rest }) => rest === 'crud')) {
    expect(documented).toEqual(
      expect.arrayContaining([
        `get /api/${table}`,
        `post /api/${table}`,
        `patch /api/${table}/{id}`,
      ]),
    );
  }
});

test('every operation says what it is, takes and answers', () => {
  const problems = Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).flatMap(([method, operation]) =>
      problemsOf(method, path, operation).map((problem) => `${method} ${path}: ${problem}`),
    ),
  );
  expect(problems).toEqual([]);
});

function problemsOf(method: string, path: string, operation: Operation): string[] {
  const problems: string[] = [];
  const parameters = operation.parameters ?? [];
  const inPath = [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name).join();
  const declared = parameters
    .filter((parameter) => parameter.in === 'path')
    .map(({ name }) => name);
  if (!operation.summary) problems.push('no summary');
  if (operation.tags?.length !== 1) problems.push('not in one group');
  if (declared.join() !== inPath) problems.push(`path parameters are ${declared.join()}`);
  for (const { name, schema } of parameters)
    if (!schema) problems.push(`no schema of parameter ${name}`);
  const good = Object.entries(operation.responses).filter(([status]) => status.startsWith('2'));
  if (good.length === 0) problems.push('no good answer');
  for (const [status, response] of good) {
    const [content] = Object.values(response.content ?? {});
    if (status !== '204' && Object.keys(content?.schema ?? {}).length === 0)
      problems.push(`no schema of ${status}`);
  }
  const takesBody = ['post', 'put', 'patch'].includes(method);
  const [body] = Object.values(operation.requestBody?.content ?? {});
  if (takesBody && !body?.schema) problems.push('no schema of the body');
  return problems;
}

test('every reference in the document points to something', () => {
  const pointers = [...JSON.stringify(document).matchAll(/"\$ref":"#([^"]+)"/g)].map(
    ([, pointer]) => pointer ?? '',
  );
  const dangling = pointers.filter((pointer) => {
    const parts = pointer.split('/').slice(1);
    const step = (node: unknown, part: string): unknown =>
      (node as Record<string, unknown> | undefined)?.[part.replaceAll('~1', '/')];
    return parts.reduce<unknown>(step, document) === undefined;
  });
  expect(dangling).toEqual([]);
});

test('a lead is described with its stage, contact and tags', () => {
  const answer = document.paths['/api/leads/{id}']?.['get']?.responses['200'];
  const text = JSON.stringify(answer?.content?.['application/json']?.schema);
  for (const name of ['"stage"', '"contact"', '"tags"', '"display_name"'])
    expect(text).toContain(name);
  expect(text).not.toContain('password_hash');
});
