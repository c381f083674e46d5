import { z } from 'zod';
import { ClarinError } from '../domain/errors.ts';

const PORT = 'must be a port: a whole number up to 65535';
const port = (fallback: number) =>
  z.coerce.number(PORT).int(PORT).min(0, PORT).max(65535, PORT).default(fallback);
const isUrl = (value: string, protocols: readonly string[]): boolean =>
  URL.canParse(value) && protocols.includes(new URL(value).protocol);
const url = (...protocols: string[]) =>
  z.string().refine((value) => isUrl(value, protocols), {
    message: `must be a URL that begins with ${protocols.map((p) => `${p}//`).join(' or ')}`,
  });

const isOnLoopback = ({ hostname }: URL): boolean =>
  /^(127\.\d+\.\d+\.\d+|localhost|\[::1\])$/.test(hostname);

/** Plain http only where nobody listens: tokens travel there. */
const isSafe = (given: URL): boolean =>
  given.protocol === 'https:' || (given.protocol === 'http:' && isOnLoopback(given));

const kommoUrl = z
  .string()
  .refine((value) => value.split('{subdomain}').length === 2, 'must hold {subdomain} once')
  .refine((value) => {
    const filled = value.replace('{subdomain}', 'x');
    if (!URL.canParse(filled)) return false;
    const { search, hash, username, password } = new URL(filled);
    return isSafe(new URL(filled)) && `${search}${hash}${username}${password}` === '';
  }, 'must be a URL that begins with https:// (http:// on a loopback address) and has neither user nor query')
  .transform((value) => value.replace(/\/+$/, ''));

/** Plain WebSocket only where nobody listens: `http` and `ws` are unsafe elsewhere alike. */
const whatsappUrl = z
  .string()
  .refine(
    (value) =>
      URL.canParse(value) &&
      (new URL(value).protocol === 'wss:' ||
        (new URL(value).protocol === 'ws:' && isOnLoopback(new URL(value)))),
    'must be a URL that begins with wss:// (ws:// on a loopback address)',
  );

const KEY_BYTES = 32;

/** In hex, or in base64 of either alphabet. */
function decodeKey(text: string): Buffer {
  return Buffer.from(text, /^[0-9a-f]{64}$/i.test(text) ? 'hex' : 'base64');
}

const databaseUrl = url('postgres:', 'postgresql:');

/** The only reader of process.env. Every variable, its default and what it is for stand here once. */
export const settings = z.object({
  /** Postgres for api, ingest, gateway. */
  DATABASE_URL: databaseUrl,
  /** Postgres as the owner of the schema, for migrate. */
  MIGRATE_DATABASE_URL: databaseUrl.optional(),
  /** Postgres as a role with REPLICATION, for replicator and slot. */
  REPLICATION_DATABASE_URL: databaseUrl.optional(),
  /** One Redis; several, comma-separated, are nodes of a Cluster, as is one that ends with `?cluster=true`. */
  REDIS_URL: z
    .string()
    .refine(
      (value) => value.split(',').every((one) => isUrl(one, ['redis:', 'rediss:'])),
      'must be a URL that begins with redis:// or rediss://, or several, comma-separated',
    ),
  CLARIN_HOST: z.string().default('127.0.0.1'),
  API_PORT: port(8080),
  FEED_PORT: port(8081),
  INGEST_PORT: port(8082),
  GATEWAY_PORT: port(8083),
  /** Signs access tokens; the same for api, replicator and gateway. */
  CLARIN_SECRET: z
    .string()
    .min(32, 'must have at least 32 characters: `openssl rand -hex 32` makes one'),
  /** Seals what is kept for other services, and cannot be read again without it; the same for api and ingest. */
  CLARIN_ENCRYPTION_KEY: z
    .string()
    .transform(decodeKey)
    .refine((key) => key.length === KEY_BYTES, 'is not 32 bytes: `openssl rand -hex 32` makes one'),
  CLARIN_SLOT: z
    .string()
    .regex(/^[a-z0-9_]{1,63}$/, 'may hold a-z, 0-9 and _ only')
    .optional(),
  CLARIN_PUBLICATION: z
    .string()
    .regex(/^[a-z0-9_]{1,63}$/, 'may hold a-z, 0-9 and _ only')
    .default('clarin'),
  CLARIN_REDIS_PREFIX: z
    .string()
    .regex(/^[a-z0-9_-]{1,32}$/, 'may hold a-z, 0-9, _ and - only')
    .default('clarin'),
  POOL_MAX: z.coerce.number().int().min(1).max(200).default(10),
  STATEMENT_TIMEOUT_MS: z.coerce.number().int().min(100).max(600_000).default(5_000),
  /** Requests one session (or, without one, one address) may make in a minute. */
  RATE_LIMIT_PER_MINUTE: z.coerce.number().int().min(1).max(10_000_000).default(3_000),
  /** Logins and refreshes one address may try in a minute; a user is locked after five failures besides. */
  LOGIN_LIMIT_PER_MINUTE: z.coerce.number().int().min(1).max(10_000_000).default(60),
  /** Proxies in front, each of which appends to X-Forwarded-For: the caller's address is the one before them. */
  TRUST_PROXY: z.coerce.number().int().min(0).max(10).default(0),
  /** Cookies are sent over TLS only; off in `clarin dev`. */
  COOKIE_SECURE: z.enum(['true', 'false']).default('true'),
  /** A browser page of this origin may call the API and open the feed; comma-separated. */
  ALLOWED_ORIGINS: z.string().default(''),
  LOG_LEVEL: z.enum(['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent']).default('info'),
  /** Where the bytes of files are: on this machine, or in a bucket. */
  MEDIA_STORE: z.enum(['local', 's3']).default('local'),
  /** For `local`. The same for every process on the machine. */
  MEDIA_DIR: z.string().optional(),
  /** For `s3`. AWS' own of the region without it. */
  MEDIA_S3_ENDPOINT: url('http:', 'https:').optional(),
  MEDIA_S3_REGION: z.string().default('us-east-1'),
  MEDIA_S3_BUCKET: z.string().optional(),
  MEDIA_S3_ACCESS_KEY_ID: z.string().optional(),
  MEDIA_S3_SECRET_ACCESS_KEY: z.string().optional(),
  /** The bucket in the path and not in the host's name: what most servers that are not AWS want. */
  MEDIA_S3_FORCE_PATH_STYLE: z.enum(['true', 'false']).default('false'),
  /** Largest file, in bytes. Rows count in 31 bits. */
  MEDIA_BYTES_MAX: z.coerce
    .number()
    .int()
    .min(1)
    .max(2 ** 31 - 1)
    .default(100 * 1024 * 1024),
  /** All stored files of one account, in bytes: what comes by WhatsApp beyond that is not fetched. No limit without it. */
  MEDIA_ACCOUNT_BYTES_MAX: z.coerce.number().int().min(1).max(Number.MAX_SAFE_INTEGER).optional(),
  /** Where a Kommo account is reached; `{subdomain}` is the connection's. */
  KOMMO_URL: kommoUrl.default('https://{subdomain}.kommo.com'),
  /** Of our integration at Kommo, for tokens that are renewed; all three or none. Long-lived tokens need none. */
  KOMMO_CLIENT_ID: z.string().optional(),
  KOMMO_CLIENT_SECRET: z.string().optional(),
  KOMMO_REDIRECT_URI: z
    .string()
    .refine(
      (value) => URL.canParse(value) && isSafe(new URL(value)),
      'must be a URL that begins with https:// (http:// on a loopback address)',
    )
    .optional(),
  /** Names the address that our requests to Kommo leave from: processes behind one address share a name, and its limit. */
  KOMMO_EGRESS: z
    .string()
    .regex(/^[a-z0-9._-]{1,100}$/i, 'may hold letters, digits, dots, _ and - only')
    .default('default'),
  /** Kommo allows seven to an address; a fake one on this machine as many as it likes. */
  KOMMO_REQUESTS_PER_SECOND: z.coerce.number().min(0.1).max(1_000).default(6),
  /** Where WhatsApp is reached. */
  WHATSAPP_URL: whatsappUrl.default('wss://web.whatsapp.com/ws/chat'),
  /** Chats that a device may begin by writing first, in a day: WhatsApp bans who does so too often. */
  WHATSAPP_NEW_CHATS_PER_DAY: z.coerce.number().int().min(0).max(100_000).default(20),
  /** From one message of a device to its next, at least. */
  WHATSAPP_SEND_INTERVAL_MS: z.coerce.number().int().min(0).max(3_600_000).default(1_000),
  /** Where `clarin dev` keeps Postgres' data, logs and its secrets. */
  CLARIN_DATA_DIR: z.string().optional(),
  /** `clarin dev` connects its demo account to a fake Kommo, where something happens all the time. */
  CLARIN_KOMMO_FAKE: z.enum(['0', '1']).default('0'),
  /** `clarin dev` links a device of its demo account with a fake WhatsApp, where people write all the time. */
  CLARIN_WHATSAPP_FAKE: z.enum(['0', '1']).default('0'),
  /** Programs of Postgres that `clarin dev` and the tests start instead of those of the npm package. */
  PG_BIN: z.string().optional(),
});

/** Where files are kept; `bytesMax` is the largest one an upload may bring. */
export type MediaConfig =
  | { readonly store: 'local'; readonly directory: string; readonly bytesMax: number }
  | {
      readonly store: 's3';
      readonly endpoint: string | undefined;
      readonly region: string;
      readonly bucket: string;
      readonly accessKeyId: string;
      readonly secretAccessKey: string;
      readonly forcePathStyle: boolean;
      readonly bytesMax: number;
    };

/** How Kommo is talked to. */
export type KommoConfig = {
  /** With `{subdomain}` in it, without a slash at the end. */
  readonly url: string;
  /** Undefined: only long-lived tokens can be used. */
  readonly integration: KommoIntegration | undefined;
  readonly egress: string;
  readonly requestsPerSecond: number;
};

export type KommoIntegration = {
  readonly clientId: string;
  readonly clientSecret: string;
  readonly redirectUri: string;
};

/** How WhatsApp is talked to. */
export type WhatsAppConfig = {
  readonly url: string;
  readonly newChatsPerDay: number;
  readonly sendIntervalMs: number;
  /** Of all stored files of an account; undefined: no limit. */
  readonly accountBytesMax?: number | undefined;
};

export type Config = {
  readonly databaseUrl: string;
  readonly migrateDatabaseUrl: string;
  readonly replicationDatabaseUrl: string;
  readonly redisUrl: string;
  readonly host: string;
  readonly apiPort: number;
  readonly feedPort: number;
  readonly ingestPort: number;
  readonly gatewayPort: number;
  readonly secret: string;
  /** 32 bytes. Of a role that has no use for it: zeros. */
  readonly encryptionKey: Uint8Array;
  /** Slots are named cluster-wide: the database's name is in the default. */
  readonly slot: string;
  readonly publication: string;
  readonly redisPrefix: string;
  readonly poolMax: number;
  readonly statementTimeoutMs: number;
  readonly rateLimitPerMinute: number;
  readonly loginLimitPerMinute: number;
  /** Number of proxies in front. */
  readonly trustProxy: number;
  readonly cookieSecure: boolean;
  readonly allowedOrigins: readonly string[];
  readonly logLevel: string;
  /** Of a role that has no use for it: nothing that works. */
  readonly media: MediaConfig;
  readonly kommo: KommoConfig;
  readonly whatsapp: WhatsAppConfig;
};

export type Environment = Readonly<Record<string, string | undefined>>;

/**
 * What a role can do without: migrate and slot need neither Redis nor a secret; files and what is sealed are for api and
 * ingest.
 */
export type Needs = { redis: boolean; secret: boolean; media: boolean; encryption: boolean };

/** @throws ClarinError `configuration` naming every variable that is missing or wrong, in words. */
export function parseSettings<T>(schema: z.ZodType<T>, given: Environment): T {
  // An empty variable is an absent one: compose files write them so.
  const present = Object.fromEntries(
    Object.entries(given).filter(([, value]) => value !== undefined && value !== ''),
  );
  const parsed = schema.safeParse(present);
  if (parsed.success) return parsed.data;
  const reasons = parsed.error.issues.map((issue) => {
    const name = issue.path.join('.');
    return present[name] === undefined ? `${name} is missing` : `${name} ${issue.message}`;
  });
  throw new ClarinError('configuration', `${reasons.join('; ')}. The README lists every setting.`);
}

/** @throws ClarinError `configuration` naming every variable that is missing or wrong, in words. */
export function readConfig(
  environment: Environment = process.env,
  needs: Needs = { redis: true, secret: true, media: true, encryption: true },
): Config {
  const given = { ...environment };
  if (!needs.redis) given['REDIS_URL'] ??= 'redis://127.0.0.1:6379';
  if (!needs.secret) given['CLARIN_SECRET'] ??= '-'.repeat(32);
  if (!needs.encryption) given['CLARIN_ENCRYPTION_KEY'] = '0'.repeat(KEY_BYTES * 2);
  if (!needs.media) Object.assign(given, { MEDIA_STORE: 'local', MEDIA_DIR: '/nonexistent' });
  const value = parseSettings(settings, given);
  const migrateDatabaseUrl = value.MIGRATE_DATABASE_URL ?? value.DATABASE_URL;
  const database = decodeURIComponent(new URL(value.DATABASE_URL).pathname.slice(1)) || 'postgres';
  return {
    databaseUrl: value.DATABASE_URL,
    migrateDatabaseUrl,
    replicationDatabaseUrl: value.REPLICATION_DATABASE_URL ?? value.DATABASE_URL,
    redisUrl: value.REDIS_URL,
    host: value.CLARIN_HOST,
    apiPort: value.API_PORT,
    feedPort: value.FEED_PORT,
    ingestPort: value.INGEST_PORT,
    gatewayPort: value.GATEWAY_PORT,
    secret: value.CLARIN_SECRET,
    encryptionKey: value.CLARIN_ENCRYPTION_KEY,
    slot:
      value.CLARIN_SLOT ??
      `clarin_${database.toLowerCase().replace(/[^a-z0-9_]/g, '_')}`.slice(0, 63),
    publication: value.CLARIN_PUBLICATION,
    redisPrefix: value.CLARIN_REDIS_PREFIX,
    poolMax: value.POOL_MAX,
    statementTimeoutMs: value.STATEMENT_TIMEOUT_MS,
    rateLimitPerMinute: value.RATE_LIMIT_PER_MINUTE,
    loginLimitPerMinute: value.LOGIN_LIMIT_PER_MINUTE,
    trustProxy: value.TRUST_PROXY,
    cookieSecure: value.COOKIE_SECURE === 'true',
    allowedOrigins: value.ALLOWED_ORIGINS.split(',')
      .map((origin) => origin.trim())
      .filter((origin) => origin !== ''),
    logLevel: value.LOG_LEVEL,
    media: readMediaConfig(value),
    kommo: readKommoConfig(value),
    whatsapp: {
      url: value.WHATSAPP_URL,
      newChatsPerDay: value.WHATSAPP_NEW_CHATS_PER_DAY,
      sendIntervalMs: value.WHATSAPP_SEND_INTERVAL_MS,
      accountBytesMax: value.MEDIA_ACCOUNT_BYTES_MAX,
    },
  };
}

const KOMMO_RATE_MAX = 7;

/** @throws ClarinError `configuration` naming what an integration lacks, or a rate that Kommo shuts out. */
function readKommoConfig(value: z.infer<typeof settings>): KommoConfig {
  const {
    KOMMO_CLIENT_ID: clientId,
    KOMMO_CLIENT_SECRET: clientSecret,
    KOMMO_REDIRECT_URI: redirectUri,
  } = value;
  const config = {
    url: value.KOMMO_URL,
    egress: value.KOMMO_EGRESS,
    requestsPerSecond: value.KOMMO_REQUESTS_PER_SECOND,
  };
  const isFake = isOnLoopback(new URL(config.url.replace('{subdomain}', 'x')));
  if (config.requestsPerSecond > KOMMO_RATE_MAX && !isFake)
    throw new ClarinError(
      'configuration',
      `KOMMO_REQUESTS_PER_SECOND must be ${KOMMO_RATE_MAX} at most: Kommo shuts an address out that takes more. The README lists every setting.`,
    );
  if (clientId !== undefined && clientSecret !== undefined && redirectUri !== undefined)
    return { ...config, integration: { clientId, clientSecret, redirectUri } };
  const given = {
    KOMMO_CLIENT_ID: clientId,
    KOMMO_CLIENT_SECRET: clientSecret,
    KOMMO_REDIRECT_URI: redirectUri,
  };
  const missing = Object.entries(given).flatMap(([name, is]) => (is === undefined ? [name] : []));
  if (missing.length === 3) return { ...config, integration: undefined };
  throw new ClarinError(
    'configuration',
    `${missing.join(' and ')} is missing: an integration at Kommo is all three or none. The README lists every setting.`,
  );
}

/** @throws ClarinError `configuration` naming what the chosen store lacks. */
function readMediaConfig(value: z.infer<typeof settings>): MediaConfig {
  const bytesMax = value.MEDIA_BYTES_MAX;
  const missing: string[] = [];
  const need = (name: keyof typeof value, given: string | undefined): string => {
    if (given === undefined) missing.push(`${name} is missing`);
    return given ?? '';
  };
  const config: MediaConfig =
    value.MEDIA_STORE === 'local'
      ? { store: 'local', directory: need('MEDIA_DIR', value.MEDIA_DIR), bytesMax }
      : {
          store: 's3',
          endpoint: value.MEDIA_S3_ENDPOINT,
          region: value.MEDIA_S3_REGION,
          bucket: need('MEDIA_S3_BUCKET', value.MEDIA_S3_BUCKET),
          accessKeyId: need('MEDIA_S3_ACCESS_KEY_ID', value.MEDIA_S3_ACCESS_KEY_ID),
          secretAccessKey: need('MEDIA_S3_SECRET_ACCESS_KEY', value.MEDIA_S3_SECRET_ACCESS_KEY),
          forcePathStyle: value.MEDIA_S3_FORCE_PATH_STYLE === 'true',
          bytesMax,
        };
  if (missing.length === 0) return config;
  const reasons = `${missing.join('; ')} (MEDIA_STORE is ${value.MEDIA_STORE})`;
  throw new ClarinError('configuration', `${reasons}. The README lists every setting.`);
}
