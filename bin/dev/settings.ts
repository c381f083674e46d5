import { parseSettings, settings, type Environment } from '../../platform/config.ts';
import { choosePort, findFreePort } from '../../platform/services/ports.ts';

export type DevSettings = {
  /** The environment as given: roles inherit it. */
  readonly environment: Environment;
  /** Undefined: we start one. */
  readonly databaseUrl: string | undefined;
  readonly redisUrl: string | undefined;
  readonly host: string;
  readonly apiPort: number;
  readonly feedPort: number;
  readonly ingestPort: number;
  readonly publication: string;
  readonly dataDirectory: string | undefined;
  readonly postgresPrograms: string | undefined;
  readonly hasFakeKommo: boolean;
  readonly hasFakeWhatsApp: boolean;
};

const schema = settings.partial({
  DATABASE_URL: true,
  REDIS_URL: true,
  CLARIN_SECRET: true,
  CLARIN_ENCRYPTION_KEY: true,
});

/** Like the roles' settings, but services and secrets may be missing: dev brings its own. */
export async function readDevSettings(environment: Environment): Promise<DevSettings> {
  const value = parseSettings(schema, environment);
  const chosen = (port: number): Promise<number> | number =>
    port === 0 ? findFreePort(value.CLARIN_HOST) : port;
  return {
    environment,
    databaseUrl: value.DATABASE_URL,
    redisUrl: value.REDIS_URL,
    host: value.CLARIN_HOST,
    apiPort: await chosen(value.API_PORT),
    feedPort: await chosen(value.FEED_PORT),
    // Nobody talks to it but a monitoring system: it gives way where it was not asked for.
    ingestPort: environment['INGEST_PORT']
      ? value.INGEST_PORT
      : await choosePort(value.CLARIN_HOST, value.INGEST_PORT),
    publication: value.CLARIN_PUBLICATION,
    dataDirectory: value.CLARIN_DATA_DIR,
    postgresPrograms: value.PG_BIN,
    hasFakeKommo: value.CLARIN_KOMMO_FAKE === '1',
    hasFakeWhatsApp: value.CLARIN_WHATSAPP_FAKE === '1',
  };
}
