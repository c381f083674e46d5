import { describe, expect, it, onTestFinished } from 'vitest';
import { startFakeKommo } from '../../fakes/kommo/fake-kommo.ts';
import { readWishes } from '../../fakes/kommo/main.ts';

describe("a fake Kommo with the machine's clock", () => {
  it('limits to seven a second by itself, and tells the time of the day', async () => {
    const fake = await startFakeKommo();
    onTestFinished(() => fake.stop());
    const { longLivedToken } = fake.createAccount({ subdomain: 'acme' });
    const ask = () =>
      fetch(`${fake.url}/acme/api/v4/account`, {
        headers: { authorization: `Bearer ${longLivedToken}` },
      });
    const before = Date.now();
    const answers = await Promise.all(Array.from({ length: 20 }, ask));
    const good = answers.filter(({ status }) => status === 200);
    // However fast they came: who was let in was one of seven in the second that ended with it.
    const times = fake.requests.list({ status: 200 }).map(({ atMs }) => atMs);
    expect(times.length).toBe(good.length);
    for (const end of times) {
      expect(times.filter((at) => at <= end && at > end - 1_000).length).toBeLessThanOrEqual(7);
    }
    expect(fake.requests.list({ status: 429 }).length).toBe(20 - good.length);
    const date = Date.parse(good[0]?.headers.get('date') ?? '');
    expect(date).toBeGreaterThan(before - 1_000);
    expect(date).toBeLessThanOrEqual(Date.now());
  });

  it('can be down, and come back at its address with its world gone on', async () => {
    const fake = await startFakeKommo();
    onTestFinished(() => fake.stop());
    const { longLivedToken } = fake.createAccount({ subdomain: 'acme' });
    const ask = () =>
      fetch(`${fake.url}/acme/api/v4/leads`, {
        headers: { authorization: `Bearer ${longLivedToken}` },
      });
    expect((await ask()).status).toBe(204);
    await fake.goDown();
    await expect(ask()).rejects.toMatchObject({ cause: { code: 'ECONNREFUSED' } });
    fake.world('acme').leads.create({});
    await fake.comeBack();
    expect((await ask()).status).toBe(200);
  });

  it('stops at once, whoever waits, and then its port is free', async () => {
    const fake = await startFakeKommo();
    const { longLivedToken } = fake.createAccount({ subdomain: 'acme' });
    fake.faults.add({ does: { kind: 'stall' } });
    const answer = await fetch(`${fake.url}/acme/api/v4/account`, {
      headers: { authorization: `Bearer ${longLivedToken}` },
    });
    const body = answer.text();
    await Promise.all([fake.stop(), expect(body).rejects.toThrow('terminated')]);
    const next = await startFakeKommo({ port: fake.port });
    expect(next.port).toBe(fake.port);
    await expect(startFakeKommo({ port: fake.port })).rejects.toThrow('EADDRINUSE');
    await next.stop();
  });
});

describe('the words behind `clarin fake-kommo`', () => {
  it('are numbers and a name, with something sensible for each that is left out', () => {
    expect(readWishes([])).toEqual({
      port: 4_790,
      leads: 500,
      contacts: 400,
      seed: 1,
      subdomain: 'demo',
      edits: 0,
    });
    const words = ['--port', '0', '--leads=5', '--contacts', '3', '--seed', '9', '--edits', '60'];
    expect(readWishes([...words, '--subdomain', 'acme'])).toEqual({
      port: 0,
      leads: 5,
      contacts: 3,
      seed: 9,
      subdomain: 'acme',
      edits: 60,
    });
  });

  it('are refused in words when they are anything else', () => {
    const bad: [string[], string][] = [
      [['--leads', 'many'], '--leads is a number'],
      [['--port', '70000'], '--port is a number up to 65535'],
      [['--subdomain', 'a b'], 'host name'],
      [['--lead', '5'], '--lead'],
      [['5'], '5'],
    ];
    for (const [words, says] of bad) expect(() => readWishes(words)).toThrow(says);
  });
});
