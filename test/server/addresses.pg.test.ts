import { describe, expect, test } from 'vitest';
import { callerAddress } from '../../server/api/plugins/rate-limit.ts';
import { startTestApi, type TestApi } from './support.ts';

const LIMIT = 2;
const PROXY = '10.0.0.1';

async function start(
  proxies: number,
): Promise<(from: string, forwarded?: string) => Promise<number>> {
  const api: TestApi = await startTestApi({
    environment: { LOGIN_LIMIT_PER_MINUTE: String(LIMIT), TRUST_PROXY: String(proxies) },
  });
  return async (from, forwarded) => {
    const answer = await api.ask(undefined, 'POST', '/api/auth/login', {
      body: { username: 'x', password: 'y' },
      remoteAddress: from,
      headers: forwarded === undefined ? {} : { 'x-forwarded-for': forwarded },
    });
    return answer.status;
  };
}

describe('limits by address', () => {
  test('believe no X-Forwarded-For where no proxy is said to be in front', async () => {
    const login = await start(0);
    for (let n = 0; n < LIMIT; n++) expect(await login(PROXY, `203.0.113.${n}`)).toBe(401);
    expect(await login(PROXY, '203.0.113.99')).toBe(429);
  });

  test('count the caller before the proxies, not what the caller says stands before that', async () => {
    const login = await start(2);
    const by = (caller: string, claimed = '') => login(PROXY, `${claimed}${caller}, 198.51.100.7`);
    for (let n = 0; n < LIMIT; n++) expect(await by('203.0.113.1', `192.0.2.${n}, `)).toBe(401);
    expect(await by('203.0.113.1', '192.0.2.99, ')).toBe(429);
    expect(await by('203.0.113.2')).toBe(401);
  });

  test('count IPv6 callers by their network', async () => {
    const login = await start(0);
    for (let n = 0; n < LIMIT; n++) expect(await login(`2001:db8:1:2::${n}`)).toBe(401);
    expect(await login('2001:db8:1:2:ffff::1')).toBe(429);
    expect(await login('2001:db8:1:3::1')).toBe(401);
  });
});

test('an address is counted as what one caller has', () => {
  const same = (...addresses: string[]): void =>
    expect(new Set(addresses.map(callerAddress)).size).toBe(1);
  same('2001:db8::1', '2001:DB8:0:0:ffff:ffff:ffff:ffff', '2001:db8:0000::', '2001:db8::1.2.3.4');
  same('fe80::1%eth0', 'fe80::2');
  same('::1', '::2');
  expect(callerAddress('2001:db8:1:2:3:4:5:6')).toBe('2001:db8:1:2::/64');
  expect(callerAddress('1:2:3:4:5:6:7::')).toBe('1:2:3:4::/64');
  expect(callerAddress('203.0.113.1')).toBe('203.0.113.1');
  expect(callerAddress('::ffff:203.0.113.1')).not.toBe(callerAddress('::ffff:203.0.113.2'));
  expect(callerAddress('unknown')).toBe('unknown');
});
