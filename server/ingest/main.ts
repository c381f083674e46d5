import { createServer, type Server } from 'node:http';
import { ClarinError } from '../../domain/errors.ts';
import type { Config } from '../../platform/config.ts';
import { judgeHealth } from '../../platform/health.ts';
import type { Forgiving, Running } from '../../platform/lifecycle.ts';
import type { Log } from '../../platform/log.ts';
import { createMediaStore, type MediaStore } from '../../platform/media/store.ts';
import { createMetrics, type Metrics } from '../../platform/metrics.ts';
import { createDatabase, type Database } from '../../platform/postgres.ts';
import { checkDatabase } from '../api/ops/health.ts';
import { createSecretBox } from '../../platform/secret-box.ts';
import { assertDatabaseFits } from '../start-checks.ts';
import { openKommo } from '../kommo/means.ts';
import { startCampaigns } from './campaign-worker.ts';
import { systemClock } from './clock.ts';
import { startImports } from './import-worker.ts';
import { KommoWorker } from './kommo/worker.ts';
import { Leases } from './leases.ts';
import { startPurge } from './purge.ts';
import { startMediaRemoval } from './remove-media.ts';
import { createDeviceMeans } from './whatsapp/device-means.ts';
import { isOfBaileys } from './whatsapp/is-of-baileys.ts';
import { shareAsyncStorage } from './whatsapp/one-async-storage.ts';
import { quietConsole } from './whatsapp/quiet-console.ts';
import { WhatsappWorker } from './whatsapp/worker.ts';

/**
 * Work without a caller, and a small server for probes. Purging, CSV imports, campaigns, the
 * removal of files, Kommo and WhatsApp.
 * @throws ClarinError `configuration` with one sentence that says what to do.
 */
export async function startIngest(
  config: Config,
  log: Log,
): Promise<Running & Forgiving & { url: string }> {
  quietConsole(log);
  shareAsyncStorage();
  const metrics = createMetrics('ingest');
  const database = createDatabase({
    url: config.databaseUrl,
    applicationName: 'clarin ingest',
    max: config.poolMax,
    statementTimeoutMs: config.statementTimeoutMs,
    log,
  });
  try {
    await assertDatabaseFits(database, config.databaseUrl);
    const media = await createMediaStore(config.media);
    const server = createProbeServer({ database, media, metrics });
    const port = await listen(server, config);
    const means = { database, media, log, metrics };
    const workers = [
      startPurge(means),
      startMediaRemoval(means),
      startImports(means),
      startCampaigns({ ...means, now: Date.now, random: Math.random }),
      startLeased(config, means),
    ];
    log.info({ port }, 'ingest is running');
    const url = `http://${config.host.includes(':') ? `[${config.host}]` : config.host}:${port}`;
    let stopped: Promise<void> | undefined;
    const stop = async (): Promise<void> => {
      await Promise.all(workers.map((worker) => worker.stop()));
      server.closeAllConnections();
      await new Promise<void>((resolve) => server.close(() => resolve()));
      await database.close();
    };
    return { url, stop: () => (stopped ??= stop()), forgives: isOfBaileys };
  } catch (error) {
    await database.close();
    throw error;
  }
}

/** Statements that say that this worker lives, and share the work: short ones, on connections that nobody else takes. */
const LEASE_CONNECTIONS = 2;
const LEASE_TIMEOUT_MS = 3_000;

type Means = {
  readonly database: Database;
  readonly media: MediaStore;
  readonly log: Log;
  readonly metrics: Metrics;
};

/** What is with one worker at a time. It is stopped before its leases are given back. */
function startLeased(config: Config, { database, media, log, metrics }: Means): Running {
  const clock = systemClock;
  const leasing = createDatabase({
    url: config.databaseUrl,
    applicationName: 'clarin ingest leases',
    max: LEASE_CONNECTIONS,
    statementTimeoutMs: Math.min(LEASE_TIMEOUT_MS, config.statementTimeoutMs),
    log,
  });
  const means = openKommo({ config, database, log });
  const { databaseUrl } = config;
  const kommo = new KommoWorker({ databaseUrl, database, kommo: means, clock, log, metrics });
  const box = createSecretBox(config.encryptionKey);
  const devices = createDeviceMeans({
    database,
    box,
    media,
    clock,
    log,
    metrics,
    whatsapp: { ...config.whatsapp, bytesMax: config.media.bytesMax },
  });
  const whatsapp = new WhatsappWorker({ ...devices, databaseUrl });
  const kinds = [kommo.kind, whatsapp.kind];
  const leases = new Leases({ database: leasing, log, clock }, kinds).start();
  kommo.start(() => leases.wake());
  whatsapp.start(() => leases.wake());
  return {
    stop: async () => {
      await leases.stop();
      await Promise.all([kommo.stop(), whatsapp.stop()]);
      await means.close();
      await leasing.close();
    },
  };
}

type Probed = { database: Database; media: MediaStore; metrics: Metrics };

function createProbeServer({ database, media, metrics }: Probed): Server {
  return createServer({ requestTimeout: 5_000 }, (request, response) => {
    const send = (status: number, type: string, body: string): void => {
      response.writeHead(status, { 'content-type': type }).end(body);
    };
    const answer = async (): Promise<void> => {
      switch (request.url ?? '') {
        case '/health/live':
          return send(200, 'application/json', '{"status":"green"}');
        case '/health/ready': {
          // Not in the API's: who cannot upload can still do everything else there.
          const checks = await Promise.all([checkDatabase(database), media.check()]);
          const health = judgeHealth(checks);
          return send(
            health.status === 'green' ? 200 : 503,
            'application/json',
            JSON.stringify(health),
          );
        }
        case '/metrics':
          return send(200, metrics.registry.contentType, await metrics.registry.metrics());
        default:
          return send(
            404,
            'application/json',
            '{"error":"there is no such route","code":"not_found"}',
          );
      }
    };
    answer().catch(() => response.destroy());
  });
}

async function listen(server: Server, config: Config): Promise<number> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code !== 'EADDRINUSE') return reject(error);
      const says = `port ${config.ingestPort} is taken: stop what listens there, or set INGEST_PORT to another one.`;
      reject(new ClarinError('configuration', says, { cause: error }));
    });
    server.listen(config.ingestPort, config.host, resolve);
  });
  const address = server.address();
  return typeof address === 'object' && address !== null ? address.port : config.ingestPort;
}
