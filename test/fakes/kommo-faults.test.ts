import { describe, expect, it } from 'vitest';
import { createVirtualClock } from '../../fakes/kommo/clock.ts';
import type { FaultInput } from '../../fakes/kommo/faults.ts';
import { START_SECONDS, startAcme, type Acme } from './support.ts';

/** One request that meets this, and the next one, which does not. */
async function startWith(does: FaultInput['does'], leads = 4): Promise<Acme> {
  const acme = await startAcme();
  acme.world.generate({ leads });
  acme.fake.faults.add({ endpoint: 'leads', times: 1, does });
  return acme;
}

async function expectWellAfterwards(acme: Acme): Promise<void> {
  expect((await acme.get('leads')).rows).toHaveLength(4);
}

/** Raw, because what comes is no whole answer. */
function fetchLeads({ fake, access }: Acme, signal?: AbortSignal): Promise<Response> {
  return fetch(`${fake.url}/acme/api/v4/leads`, {
    headers: { authorization: `Bearer ${access.accessToken}` },
    ...(signal && { signal }),
  });
}

describe('a fault', () => {
  it('answers with another status, as a problem or as a page', async () => {
    for (const status of [500, 502, 503, 504]) {
      const acme = await startWith({ kind: 'status', status });
      const answer = await acme.get('leads');
      expect([answer.status, answer.headers.get('content-type')]).toEqual([
        status,
        'application/problem+json',
      ]);
      expect(answer.body).toHaveProperty('trace_id');
      await expectWellAfterwards(acme);
    }
    const acme = await startWith({ kind: 'status', status: 200, as: 'html' });
    const page = await acme.get('leads');
    expect([page.status, page.headers.get('content-type')]).toEqual([
      200,
      'text/html; charset=utf-8',
    ]);
    await expectWellAfterwards(acme);
  });

  it('says when to come again, in the header and in the body', async () => {
    const acme = await startWith({ kind: 'status', status: 429, retryAfterSeconds: 3 });
    const answer = await acme.get('leads');
    expect(answer.headers.get('retry-after')).toBe('3');
    expect(answer.body).toMatchObject({ status: 429, retry_after: 3 });
  });

  it('resets the connection', async () => {
    const acme = await startWith({ kind: 'reset' });
    await expect(fetchLeads(acme)).rejects.toMatchObject({ cause: { code: 'ECONNRESET' } });
    expect(acme.fake.requests.list()).toMatchObject([{ status: undefined, faults: ['reset'] }]);
    await expectWellAfterwards(acme);
  });

  it('closes in the middle of the body', async () => {
    const acme = await startWith({ kind: 'cut' });
    const answer = await fetchLeads(acme);
    expect(answer.status).toBe(200);
    await expect(answer.text()).rejects.toThrow('terminated');
    await expectWellAfterwards(acme);
  });

  it('gives half a body as if it were a whole one', async () => {
    const acme = await startWith({ kind: 'cut', as: 'whole' });
    const answer = await fetchLeads(acme);
    const text = await answer.text();
    expect(text.length).toBeGreaterThan(100);
    expect(Number(answer.headers.get('content-length'))).toBe(Buffer.byteLength(text));
    expect(() => JSON.parse(text) as unknown).toThrow(SyntaxError);
    await expectWellAfterwards(acme);
  });

  it('gives what is no JSON, as JSON', async () => {
    const acme = await startWith({ kind: 'invalid-json' });
    const answer = await fetchLeads(acme);
    expect(answer.headers.get('content-type')).toBe('application/hal+json');
    await expect(answer.json()).rejects.toThrow(SyntaxError);
    await expectWellAfterwards(acme);
  });

  it('gives another type', async () => {
    const acme = await startWith({ kind: 'content-type', value: 'text/plain' });
    const answer = await fetchLeads(acme);
    expect(answer.headers.get('content-type')).toBe('text/plain');
    expect(await answer.json()).toHaveProperty('_embedded');
  });

  it('stalls behind the head and half of the body, until the client goes', async () => {
    const acme = await startWith({ kind: 'stall' });
    const leaving = new AbortController();
    const answer = await fetchLeads(acme, leaving.signal);
    const reader = answer.body?.getReader();
    const half = await reader?.read();
    const whole = Number(answer.headers.get('content-length'));
    expect(half?.value?.length).toBe(Math.ceil(whole / 2));
    let hasMore = false;
    const rest = reader?.read().then(() => (hasMore = true));
    // Others are answered meanwhile.
    await expectWellAfterwards(acme);
    expect(hasMore).toBe(false);
    leaving.abort();
    await expect(rest).rejects.toThrow('aborted');
  });

  it('waits before the request takes effect, or behind it', async () => {
    for (const isAfter of [false, true]) {
      const wireClock = createVirtualClock(0);
      const acme = await startAcme({ wireClock });
      acme.world.generate({ leads: 4 });
      const { id } = acme.world.leads.create({ name: 'before' });
      const does = { kind: 'latency', ms: 5_000, isAfter } as const;
      acme.fake.faults.add({ endpoint: 'leads/{id}', times: 1, does });
      let isAnswered = false;
      const slow = acme.get(`leads/${id}`).then((answer) => {
        isAnswered = true;
        return answer;
      });
      // It has come before the next one, on whose answer it does not wait.
      while (acme.fake.requests.list({ endpoint: 'leads/{id}' }).length === 0) {
        await acme.get('account');
      }
      await acme.get('account');
      acme.world.leads.update(id, { name: 'after' });
      wireClock.advance(4_999);
      await acme.get('account');
      expect(isAnswered).toBe(false);
      wireClock.advance(1);
      expect((await slow).body).toMatchObject({ name: isAfter ? 'before' : 'after' });
    }
  });

  it('has rows twice, within the limit of the page', async () => {
    const acme = await startWith({ kind: 'duplicates', rows: 3 });
    const [a, b, c, d] = ids(acme);
    expect((await acme.get('leads?limit=6')).ids).toEqual([a, a, b, b, c, d]);
    expect((await acme.get('leads?limit=6')).ids).toEqual([a, b, c, d]);
  });

  it('moves the clock of the Date header, either way', async () => {
    for (const seconds of [90, -90]) {
      const acme = await startWith({ kind: 'clock-offset', seconds });
      const date = (await acme.get('leads')).headers.get('date') ?? '';
      expect(Date.parse(date)).toBe((START_SECONDS + seconds) * 1_000);
    }
  });

  it('edits rows behind a page: the next page lacks as many', async () => {
    const acme = await startWith({ kind: 'edit', rows: 2 }, 9);
    acme.clock.advance(1_000);
    const path = 'leads?limit=3&order[updated_at]=asc';
    const first = await acme.get(path);
    const pages = [await acme.get(`${path}&page=2`), await acme.get(`${path}&page=3`)];
    const later = pages.flatMap((page) => page.ids);
    const missed = ids(acme).filter((id) => ![...first.ids, ...later].includes(id));
    expect(missed).toHaveLength(2);
    expect(later.filter((id) => first.ids.includes(id))).toHaveLength(2);
    // Nothing but their time has changed.
    expect(acme.world.leads.edits).toBe(0);
  });
});

function ids({ world }: Acme): number[] {
  return Array.from(world.leads.all(), ({ id }) => id);
}

describe('where and how often faults strike', () => {
  const does = { kind: 'status', status: 500 } as const;
  const strikes = async (acme: Acme, path: string, count: number): Promise<boolean[]> => {
    const found: boolean[] = [];
    for (let index = 0; index < count; index += 1) {
      found.push((await acme.get(path)).status === 500);
    }
    return found;
  };

  it('so many times, after so many that are left alone', async () => {
    const acme = await startAcme();
    acme.fake.faults.add({ endpoint: 'account', skip: 1, times: 2, does });
    expect(await strikes(acme, 'account', 5)).toEqual([false, true, true, false, false]);
    expect(acme.fake.faults.list()).toEqual([]);
  });

  it('at one endpoint, account or address, or everywhere', async () => {
    const acme = await startAcme();
    const other = acme.fake.createAccount({ subdomain: 'other' });
    const atOther = async (): Promise<number> => {
      const headers = { authorization: `Bearer ${other.accessToken}` };
      return (await acme.call('/other/api/v4/account', { headers })).status;
    };
    acme.fake.faults.add({ endpoint: 'users', does });
    acme.fake.faults.add({ subdomain: 'other', does: { kind: 'status', status: 502 } });
    acme.fake.faults.add({ address: '10.0.0.1', does });
    expect(await strikes(acme, 'account', 1)).toEqual([false]);
    expect(await strikes(acme, 'users', 1)).toEqual([true]);
    expect(await atOther()).toBe(502);
    const headers = { 'x-forwarded-for': '10.0.0.1' };
    expect((await acme.get('account', { headers })).status).toBe(500);
    acme.fake.faults.clear();
    acme.fake.faults.add({ does });
    expect([(await acme.get('account')).status, await atOther()]).toEqual([500, 500]);
  });

  it('for a share of the requests that the seed chooses, the same ones in every run', async () => {
    const run = async (seed: number): Promise<boolean[]> => {
      const acme = await startAcme({ seed });
      acme.fake.faults.add({ endpoint: 'account', share: 0.3, does });
      return strikes(acme, 'account', 60);
    };
    const [one, same, other] = [await run(7), await run(7), await run(8)];
    expect(one).toEqual(same);
    expect(one).not.toEqual(other);
    const count = one.filter(Boolean).length;
    expect(count).toBeGreaterThan(8);
    expect(count).toBeLessThan(30);
  });

  it('several at once, of those that answer in its place the first', async () => {
    const acme = await startAcme();
    acme.fake.faults.add({ times: 1, does });
    acme.fake.faults.add({ times: 1, does: { kind: 'clock-offset', seconds: 5 } });
    acme.fake.faults.add({ times: 1, does: { kind: 'reset' } });
    const answer = await acme.get('account');
    const date = Date.parse(answer.headers.get('date') ?? '');
    expect([answer.status, date]).toEqual([500, (START_SECONDS + 5) * 1_000]);
    const [logged] = acme.fake.requests.list();
    expect(logged?.faults).toEqual(['status', 'clock-offset', 'reset']);
  });

  it('until they are taken back', async () => {
    const acme = await startAcme();
    const { id } = acme.fake.faults.add({ does });
    expect(await strikes(acme, 'account', 2)).toEqual([true, true]);
    expect(acme.fake.faults.list()).toMatchObject([{ id, hits: 2, endpoint: '*' }]);
    expect([acme.fake.faults.remove(id), acme.fake.faults.remove(id)]).toEqual([true, false]);
    expect(await strikes(acme, 'account', 1)).toEqual([false]);
  });

  it('are refused when they are none', async () => {
    const { fake } = await startAcme();
    const none = { does: { kind: 'status', status: 42 } } as const;
    expect(() => fake.faults.add(none)).toThrow('200');
  });
});
