import { onTestFinished } from 'vitest';
import { createVirtualClock, type VirtualClock } from '../../fakes/kommo/clock.ts';
import { startFakeKommo, type FakeKommo } from '../../fakes/kommo/fake-kommo.ts';
import type { FakeKommoOptions, AccountAccess } from '../../fakes/kommo/fake-kommo.ts';
import type { WorldSettingsInput } from '../../fakes/kommo/settings.ts';
import type { World } from '../../fakes/kommo/world.ts';

/** 2026-11-22 00:00:00 UTC. */
export const START_SECONDS = 1_795_305_600;

type Row = Record<string, unknown> & { id: number };
export type Answered = {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  /** Of JSON; undefined otherwise. */
  readonly body: Record<string, unknown> | undefined;
  /** Of a list; [] when it is empty or none. */
  readonly rows: readonly Row[];
  readonly ids: readonly number[];
  /** The link to the next page. */
  readonly next: string | undefined;
};

export type Acme = {
  readonly fake: FakeKommo;
  readonly world: World;
  readonly access: AccountAccess;
  readonly clock: VirtualClock;
  /** `leads?limit=1`, with the access token. */
  readonly get: (path: string, init?: RequestInit) => Promise<Answered>;
  /** Any address of the server, without a token. */
  readonly call: (path: string, init?: RequestInit) => Promise<Answered>;
  readonly admin: (method: string, path: string, body?: unknown) => Promise<Answered>;
};

type Options = FakeKommoOptions & { settings?: WorldSettingsInput };

/** A fake with one account, `acme`, and a virtual clock; nothing is limited unless asked. Stopped when the test ends. */
export async function startAcme({ settings, ...options }: Options = {}): Promise<Acme> {
  const clock = createVirtualClock(START_SECONDS * 1_000);
  const unlimited = { perSecond: 1_000_000 };
  const fake = await startFakeKommo({ clock, limiter: unlimited, ...options });
  onTestFinished(() => fake.stop());
  const access = fake.createAccount({ subdomain: 'acme', ...(settings && { settings }) });
  const call: Acme['call'] = async (path, init) => read(await fetch(`${fake.url}${path}`, init));
  return {
    fake,
    world: fake.world('acme'),
    access,
    clock,
    call,
    get: (path, init) => {
      const headers = new Headers(init?.headers);
      if (!headers.has('authorization')) {
        headers.set('authorization', `Bearer ${access.accessToken}`);
      }
      return call(`/acme/api/v4/${path}`, { ...init, headers });
    },
    admin: (method, path, body) =>
      call(`/__admin/${path}`, {
        method,
        ...(body !== undefined && { body: JSON.stringify(body) }),
      }),
  };
}

async function read(answer: Response): Promise<Answered> {
  const text = await answer.text();
  const isJson = /json/.test(answer.headers.get('content-type') ?? '');
  const body = isJson ? (JSON.parse(text) as Record<string, unknown>) : undefined;
  const embedded = body?.['_embedded'] as Record<string, Row[]> | undefined;
  const list = Object.values(embedded ?? {})[0];
  const rows = Array.isArray(list) ? list : [];
  const links = body?.['_links'] as { next?: { href: string } } | undefined;
  return {
    status: answer.status,
    headers: answer.headers,
    text,
    body,
    rows,
    ids: rows.map(({ id }) => id),
    next: links?.next?.href,
  };
}
