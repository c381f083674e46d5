import { describe, expect, it } from 'vitest';
import { addressOf, subdomainOfHost } from '../../server/kommo/address.ts';
import { encodeQuery } from '../../server/kommo/query.ts';

describe('a query', () => {
  it('asks for a whole first page without more', () => {
    expect(encodeQuery({})).toBe('?limit=250&page=1');
  });

  it('has its brackets encoded, and everything that it names', () => {
    const query = encodeQuery({
      limit: 5,
      page: 2,
      order: { by: 'id', direction: 'desc' },
      with: ['contacts', 'loss_reason'],
      filter: { ids: [1, 2], types: ['lead_added', 'lead_deleted'], createdFrom: 0 },
    });
    expect(query).not.toMatch(/[[\] ]/);
    expect([...new URLSearchParams(query)]).toEqual([
      ['limit', '5'],
      ['page', '2'],
      ['order[id]', 'desc'],
      ['with', 'contacts,loss_reason'],
      ['filter[id][]', '1'],
      ['filter[id][]', '2'],
      ['filter[type]', 'lead_added,lead_deleted'],
      ['filter[created_at][from]', '0'],
    ]);
  });

  it('of a hundred of the longest ids fits into an address', () => {
    const ids = Array.from({ length: 100 }, () => Number.MAX_SAFE_INTEGER);
    expect(encodeQuery({ filter: { ids } }).length).toBeLessThan(6_000);
  });
});

describe('the address of an account', () => {
  const OURS = 'https://{subdomain}.kommo.com';
  const LOCAL = 'http://127.0.0.1:4000/{subdomain}';

  it('is the template with its subdomain, and with nothing that is none', () => {
    expect(addressOf(OURS, 'acme')).toBe('https://acme.kommo.com');
    expect(addressOf(LOCAL, 'a-1')).toBe('http://127.0.0.1:4000/a-1');
    for (const bad of ['', 'A', '-a', 'a-', 'a.b', 'a/b', 'a@b', 'evil.example/', 'a'.repeat(64)])
      expect(() => addressOf(OURS, bad)).toThrow(RangeError);
  });

  it('is found for a host, if the template leads there', () => {
    expect(subdomainOfHost(OURS, 'API-B.kommo.com')).toBe('api-b');
    expect(subdomainOfHost('https://x-{subdomain}.example:81', 'x-a.example:81')).toBe('a');
    expect(subdomainOfHost(LOCAL, 'api-b.kommo.com')).toBe('api-b');
    const foreign = ['', 'kommo.com', '.kommo.com', 'a.b.kommo.com', 'api.kommo.com.evil.example'];
    for (const host of [...foreign, 'api-b.amocrm.ru', 'evil.example?.kommo.com'])
      expect([host, subdomainOfHost(OURS, host)]).toEqual([host, undefined]);
  });
});
