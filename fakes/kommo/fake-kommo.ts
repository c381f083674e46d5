import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Parts } from './admin.ts';
import { steadyClock, wallClock, type Clock } from './clock.ts';
import { Faults } from './faults.ts';
import type { AccountInput } from './inputs.ts';
import { Limiter, type LimiterSettings } from './limiter.ts';
import { mustFind, WorldError } from './model.ts';
import { DEFAULT_INTEGRATION, type Integration } from './oauth.ts';
import { RequestLog } from './request-log.ts';
import { createKommoServer } from './server.ts';
import type { WorldSettingsInput } from './settings.ts';
import { World } from './world.ts';

export type FakeKommoOptions = {
  /** 0, the default: any that is free. */
  readonly port?: number;
  /** Default 127.0.0.1: it is nothing to be seen from elsewhere, its admin interface asks nobody who he is. */
  readonly host?: string;
  /** What looks like chance, and every id and token, follow from it. Default 1. */
  readonly seed?: number;
  /** Of the world: updated_at, the Date header, ends of tokens, delays of lists and events, waits of webhooks. Default the machine's. */
  readonly clock?: Clock;
  /** Of the wire: the limiter's second, the request log, latencies, the two seconds of a webhook. Default a steady one. */
  readonly wireClock?: Clock;
  readonly limiter?: Partial<LimiterSettings>;
  /** Who may ask for tokens. Default DEFAULT_INTEGRATION. */
  readonly integration?: Integration;
};

export type AccountAccess = {
  readonly accountId: number;
  readonly subdomain: string;
  /** A day, unless the settings say otherwise. */
  readonly accessToken: string;
  /** Used once. */
  readonly refreshToken: string;
  /** A year, no refresh. */
  readonly longLivedToken: string;
};

/** A Kommo that is ours: what it answers is Kommo's, what is in it and what goes wrong is the caller's. */
export type FakeKommo = {
  readonly port: number;
  /** An account answers at `${url}/${subdomain}/api/v4/...`. */
  readonly url: string;
  readonly clock: Clock;
  readonly limiter: Limiter;
  readonly faults: Faults;
  readonly requests: RequestLog;
  /** @throws WorldError when there is an account at that address. */
  createAccount(input: AccountInput & { settings?: WorldSettingsInput }): AccountAccess;
  /** By its present address. @throws WorldError when there is none. */
  world(subdomain: string): World;
  /** Nobody is there: connections are closed, new ones refused, and the world goes on. Again with `comeBack`. */
  goDown(): Promise<void>;
  /** At the same address. */
  comeBack(): Promise<void>;
  /** Breaks off whatever is under way, for good. */
  stop(): Promise<void>;
};

/** Resolves when it listens. */
export async function startFakeKommo(options: FakeKommoOptions = {}): Promise<FakeKommo> {
  const { port = 0, host = '127.0.0.1', seed = 1 } = options;
  const { clock = wallClock, wireClock = steadyClock } = options;
  const integration = options.integration ?? DEFAULT_INTEGRATION;
  const worlds = new Map<string, World>();
  const createAccount: FakeKommo['createAccount'] = ({ settings, ...account }) => {
    if (worlds.has(account.subdomain)) throw new WorldError(`${account.subdomain} is taken`);
    const world = new World({
      account,
      index: worlds.size,
      seed,
      clock,
      wireClock,
      clientId: integration.clientId,
      rename: (from, to) => moveAccount(worlds, from, to),
    });
    world.set(settings ?? {});
    worlds.set(account.subdomain, world);
    const { accessToken, refreshToken } = world.tokens.issuePair();
    const longLivedToken = world.tokens.issueLongLived();
    const { subdomain } = world;
    return { accountId: world.id, subdomain, accessToken, refreshToken, longLivedToken };
  };
  const parts: Parts = {
    clock,
    wireClock,
    limiter: new Limiter(options.limiter ?? {}, wireClock),
    faults: new Faults(seed),
    requests: new RequestLog(),
    worlds,
    createAccount,
  };
  const server = createKommoServer({ ...parts, integration });
  await listen(server, port, host);
  const { port: listening } = server.address() as AddressInfo;
  const goDown = async (): Promise<void> => {
    const closed = new Promise<void>((resolve) => void server.close(() => resolve()));
    server.closeAllConnections();
    await closed;
  };
  return {
    port: listening,
    url: `http://${host.includes(':') ? `[${host}]` : host}:${listening}`,
    clock,
    limiter: parts.limiter,
    faults: parts.faults,
    requests: parts.requests,
    createAccount,
    world: (subdomain) => mustFind(worlds.get(subdomain), `account ${subdomain}`),
    goDown,
    comeBack: () => listen(server, listening, host),
    stop: async () => {
      for (const world of worlds.values()) world.stop();
      await goDown();
    },
  };
}

function listen(server: Server, port: number, host: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen({ port, host }, () => {
      server.off('error', reject);
      resolve();
    });
  });
}

function moveAccount(worlds: Map<string, World>, from: string, to: string): void {
  if (worlds.has(to)) throw new WorldError(`${to} is taken`);
  const world = mustFind(worlds.get(from), `account ${from}`);
  worlds.delete(from);
  worlds.set(to, world);
}
