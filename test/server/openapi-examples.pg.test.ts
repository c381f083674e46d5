import { beforeAll, expect, test } from 'vitest';
import { startTestApi, type Caller, type TestApi } from './support.ts';

type Content = Record<string, { schema?: object; example?: unknown }>;
type Operation = {
  requestBody?: { content: Content };
  responses: Record<string, { content?: Content }>;
};
type Document = { paths: Record<string, Record<string, Operation>> };

let api: TestApi;
let caller: Caller;
let document: Document;

beforeAll(async () => {
  api = await startTestApi();
  caller = await api.account('one');
  document = (await api.ask(undefined, 'GET', '/docs/json')).body;
});

function operations(): [route: string, operation: Operation][] {
  return Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]): [string, Operation] => [
      `${method.toUpperCase()} ${path}`,
      operation,
    ]),
  );
}

test('every body and every good answer has an example', () => {
  const without = operations().flatMap(([route, { requestBody, responses }]) => {
    const good = Object.entries(responses).filter(([status]) => /^2(?!04)/.test(status));
    const contents = [requestBody?.content, ...good.map(([, response]) => response.content)];
    const isMissing = contents
      .flatMap((content) => Object.entries(content ?? {}))
      .some(([type, media]) => type === 'application/json' && media.example === undefined);
    return isMissing ? [route] : [];
  });
  expect(without).toEqual([]);
});

test('no example of a body is refused as malformed', async () => {
  const refused: string[] = [];
  for (const [route, { requestBody }] of operations()) {
    const example = requestBody?.content['application/json']?.example;
    if (example === undefined || route.includes('/auth/')) continue;
    const [method = '', path = ''] = route.split(' ');
    // An id of nobody: what is asked for is understood, and not found.
    const url = path.replaceAll(/\{\w+\}/g, '9007199254740991');
    const answer = await api.ask(caller, method, url, { body: example });
    if (answer.status === 400 || answer.status >= 500)
      refused.push(`${route}: ${answer.text.slice(0, 200)} for ${JSON.stringify(example)}`);
  }
  expect(refused).toEqual([]);
});
