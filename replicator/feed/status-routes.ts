import type { HttpResponse, TemplatedApp } from 'uWebSockets.js';
import type { Health } from '../../platform/health.ts';
import type { Log } from '../../platform/log.ts';
import type { Metrics } from '../../platform/metrics.ts';

type Options = {
  readonly health: () => Promise<Health> | Health;
  readonly metrics: Metrics;
  readonly log: Log;
};

type Answer = { readonly status: string; readonly type: string; readonly body: string };

const JSON_TYPE = 'application/json; charset=utf-8';

/** `/health/live`, `/health/ready` and `/metrics`; everything else is not found. */
export function serveStatus(app: TemplatedApp, { health, metrics, log }: Options): void {
  const answerAll = (path: string, answer: () => Promise<Answer>): void => {
    app.get(path, (response) => respond(response, answer, log));
  };
  answerAll('/health/live', async () => ({
    status: '200 OK',
    type: JSON_TYPE,
    body: '{"status":"green","checks":[]}',
  }));
  answerAll('/health/ready', async () => {
    const judged = await health();
    const status = judged.status === 'green' ? '200 OK' : '503 Service Unavailable';
    return { status, type: JSON_TYPE, body: JSON.stringify(judged) };
  });
  answerAll('/metrics', async () => ({
    status: '200 OK',
    type: metrics.registry.contentType,
    body: await metrics.registry.metrics(),
  }));
  app.any('/*', (response) => {
    const body =
      '{"error":"there is no such route; the feed is a WebSocket at /feed","code":"not_found"}';
    write(response, { status: '404 Not Found', type: JSON_TYPE, body });
  });
}

function respond(response: HttpResponse, answer: () => Promise<Answer>, log: Log): void {
  let isAborted = false;
  response.onAborted(() => {
    isAborted = true;
  });
  answer()
    .catch((error: unknown): Answer => {
      log.error({ error }, 'a status route failed');
      return {
        status: '503 Service Unavailable',
        type: JSON_TYPE,
        body: '{"status":"red","checks":[]}',
      };
    })
    .then((answered) => {
      if (!isAborted) write(response, answered);
    })
    .catch((error: unknown) => log.error({ error }, 'a status route could not answer'));
}

function write(response: HttpResponse, { status, type, body }: Answer): void {
  response.cork(() => {
    response.writeStatus(status).writeHeader('content-type', type).end(body);
  });
}
