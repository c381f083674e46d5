import { describe, expect, it } from 'vitest';
import { createVirtualClock } from '../../fakes/kommo/clock.ts';
import { startAcme, type Acme } from './support.ts';
import type { LimiterSettings } from '../../fakes/kommo/limiter.ts';

const NO_BAN = { banAfter: null } as const;

async function startLimited(limiter: Partial<LimiterSettings> = {}) {
  const wireClock = createVirtualClock(1_000_000);
  return { wireClock, acme: await startAcme({ wireClock, limiter }) };
}

async function statuses(acme: Acme, count: number, address?: string): Promise<number[]> {
  const found: number[] = [];
  const headers = address === undefined ? {} : { 'x-forwarded-for': address };
  for (let index = 0; index < count; index += 1) {
    found.push((await acme.get('account', { headers })).status);
  }
  return found;
}

const times = (status: number, count: number): number[] =>
  Array.from({ length: count }, () => status);

describe('the limiter', () => {
  it('lets seven requests of one address into any second, and refuses the eighth', async () => {
    const { acme, wireClock } = await startLimited({ ...NO_BAN, doRefusedCount: false });
    expect(await statuses(acme, 4)).toEqual(times(200, 4));
    wireClock.advance(600);
    expect(await statuses(acme, 4)).toEqual([200, 200, 200, 429]);
    wireClock.advance(399);
    expect(await statuses(acme, 1)).toEqual([429]);
    // The four of the beginning are out of the second that ends now; the three are not.
    wireClock.advance(1);
    expect(await statuses(acme, 5)).toEqual([200, 200, 200, 200, 429]);
  });

  it('says so as a problem, with the seconds to wait in the body', async () => {
    const { acme } = await startLimited({ perSecond: 1, retryAfterSeconds: 42, ...NO_BAN });
    await acme.get('account');
    const answer = await acme.get('account');
    expect(answer.status).toBe(429);
    expect(answer.headers.get('content-type')).toBe('application/problem+json');
    expect(answer.headers.get('retry-after')).toBeNull();
    expect(answer.body).toMatchObject({ title: 'Too Many Requests', retry_after: 42 });
    acme.fake.limiter.set({ isInHeader: true, as: 'html' });
    const page = await acme.get('account');
    expect([page.status, page.headers.get('retry-after')]).toEqual([429, '42']);
    expect(page.headers.get('content-type')).toContain('text/html');
  });

  it('counts each address for itself, from X-Forwarded-For or the socket, and OAuth with it', async () => {
    const { acme } = await startLimited({ perSecond: 2, ...NO_BAN });
    expect(await statuses(acme, 3, '10.0.0.1')).toEqual([200, 200, 429]);
    expect(await statuses(acme, 3, '10.0.0.2, 192.0.2.1')).toEqual([200, 200, 429]);
    const token = () => acme.call('/acme/oauth2/access_token', { method: 'POST' });
    expect([(await token()).status, (await token()).status]).toEqual([400, 400]);
    expect((await token()).status).toBe(429);
  });

  it('counts what it refused, too, unless told otherwise: who goes on asking stays out', async () => {
    const { acme, wireClock } = await startLimited({ perSecond: 2, ...NO_BAN });
    expect(await statuses(acme, 2)).toEqual([200, 200]);
    for (let count = 0; count < 4; count += 1) {
      wireClock.advance(400);
      expect(await statuses(acme, 1)).toEqual([429]);
    }
    wireClock.advance(1_000);
    expect(await statuses(acme, 1)).toEqual([200]);
  });

  it('may count by the seconds of the clock', async () => {
    const { acme, wireClock } = await startLimited({ window: 'calendar', ...NO_BAN });
    wireClock.advance(990);
    expect(await statuses(acme, 7)).toEqual(times(200, 7));
    wireClock.advance(10);
    expect(await statuses(acme, 8)).toEqual([...times(200, 7), 429]);
  });

  it('may keep an address waiting for as long as it said', async () => {
    const limits = { perSecond: 1, isHeld: true, retryAfterSeconds: 10, ...NO_BAN };
    const { acme, wireClock } = await startLimited(limits);
    expect(await statuses(acme, 2)).toEqual([200, 429]);
    wireClock.advance(9_999);
    acme.fake.limiter.set({ isHeld: false });
    expect(await statuses(acme, 1)).toEqual([429]);
    wireClock.advance(1_000);
    expect(await statuses(acme, 1)).toEqual([200]);
  });

  it('shuts an address out with a page after enough of it, for everything, for a time', async () => {
    const { acme, wireClock } = await startLimited({ perSecond: 1, banAfter: 3, banSeconds: 60 });
    expect(await statuses(acme, 5)).toEqual([200, 429, 429, 429, 403]);
    wireClock.advance(59_000);
    const answer = await acme.get('leads');
    expect([answer.status, answer.headers.get('content-type')]).toEqual([
      403,
      'text/html; charset=utf-8',
    ]);
    expect(answer.text).toContain('403 Forbidden');
    expect((await acme.call('/acme/oauth2/access_token', { method: 'POST' })).status).toBe(403);
    expect(await statuses(acme, 1, '10.0.0.9')).toEqual([200]);
    wireClock.advance(1_000);
    expect(await statuses(acme, 1)).toEqual([200]);
  });

  it('forgets what was refused after a quiet while', async () => {
    const limits = { perSecond: 1, banAfter: 2, forgiveSeconds: 30 };
    const { acme, wireClock } = await startLimited(limits);
    expect(await statuses(acme, 2)).toEqual([200, 429]);
    wireClock.advance(31_000);
    expect(await statuses(acme, 2)).toEqual([200, 429]);
    wireClock.advance(1_000);
    expect(await statuses(acme, 3)).toEqual([200, 429, 403]);
  });

  it('can be told to shut an address out, and to forgive all', async () => {
    const { acme } = await startLimited();
    acme.fake.limiter.ban('127.0.0.1', 60);
    expect(await statuses(acme, 1)).toEqual([403]);
    acme.fake.limiter.forgive();
    expect(await statuses(acme, 1)).toEqual([200]);
  });
});

describe('the log of requests', () => {
  it('knows the most requests in any second, for each address, also of what was refused', async () => {
    const { acme, wireClock } = await startLimited({ perSecond: 3, ...NO_BAN });
    const { requests } = acme.fake;
    for (const pause of [0, 300, 300, 399]) {
      wireClock.advance(pause);
      await statuses(acme, 1, '10.0.0.1');
    }
    expect(requests.mostInAnySecond('10.0.0.1')).toBe(4);
    wireClock.advance(1);
    await statuses(acme, 1, '10.0.0.1');
    expect(requests.mostInAnySecond('10.0.0.1')).toBe(4);
    await statuses(acme, 2, '10.0.0.2');
    expect(requests.mostInAnySecond('10.0.0.2')).toBe(2);
    expect(requests.mostInAnySecond()).toBe(4);
    expect(requests.mostInAnySecond('10.0.0.3')).toBe(0);
    requests.clear();
    expect(requests.mostInAnySecond()).toBe(0);
  });

  it('has every request with its time, address, endpoint and answer, and no token', async () => {
    const { acme, wireClock } = await startLimited();
    acme.world.generate({ leads: 3 });
    wireClock.advance(250);
    await acme.get('leads?limit=2&with=contacts');
    await acme.call(`/acme/api/v4/leads/${[...acme.world.leads.all()][0]?.id}`);
    await acme.call('/nowhere');
    const { requests } = acme.fake;
    expect(requests.list()).toMatchObject([
      {
        number: 1,
        atMs: 1_000_250,
        address: '127.0.0.1',
        subdomain: 'acme',
        endpoint: 'leads',
        method: 'GET',
        path: '/api/v4/leads?limit=2&with=contacts',
        status: 200,
        rows: 2,
        faults: [],
      },
      { number: 2, endpoint: 'leads/{id}', status: 401 },
      { number: 3, endpoint: '?', subdomain: undefined, status: 404 },
    ]);
    expect(requests.list({ endpoint: 'leads' })).toHaveLength(1);
    expect(requests.list({ after: 1, status: 404 }).map(({ number }) => number)).toEqual([3]);
    expect(requests.count).toBe(3);
    expect(JSON.stringify(requests.list())).not.toContain(acme.access.accessToken);
  });
});
