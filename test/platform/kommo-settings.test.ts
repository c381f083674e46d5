import { describe, expect, it } from 'vitest';
import { readConfig, type Environment } from '../../platform/config.ts';

const read = (kommo: Environment) =>
  readConfig(
    { DATABASE_URL: 'postgres://127.0.0.1/x', ...kommo },
    { redis: false, secret: false, media: false, encryption: false },
  ).kommo;

describe('the settings of Kommo', () => {
  it('are its own address, six requests a second and no integration, unless they say otherwise', () => {
    expect(read({})).toEqual({
      url: 'https://{subdomain}.kommo.com',
      integration: undefined,
      egress: 'default',
      requestsPerSecond: 6,
    });
    const given = {
      KOMMO_URL: 'http://127.0.0.1:4000/{subdomain}/',
      KOMMO_CLIENT_ID: 'id',
      KOMMO_CLIENT_SECRET: 'secret',
      KOMMO_REDIRECT_URI: 'https://crm.example/kommo',
      KOMMO_EGRESS: 'lima-1',
      KOMMO_REQUESTS_PER_SECOND: '0.5',
    };
    expect(read(given)).toEqual({
      url: 'http://127.0.0.1:4000/{subdomain}',
      integration: {
        clientId: 'id',
        clientSecret: 'secret',
        redirectUri: 'https://crm.example/kommo',
      },
      egress: 'lima-1',
      requestsPerSecond: 0.5,
    });
  });

  it.each([
    'https://acme.kommo.com',
    'https://{subdomain}.{subdomain}.example',
    'http://{subdomain}.kommo.com',
    'http://10.0.0.1/{subdomain}',
    'http://127.0.0.1.example/{subdomain}',
    'ftp://{subdomain}.kommo.com',
    '{subdomain}',
    'https://user@{subdomain}.kommo.com',
    'https://kommo.com/?account={subdomain}',
    'https://kommo.com/#{subdomain}',
  ])('take no address like %s', (KOMMO_URL) => {
    expect(() => read({ KOMMO_URL })).toThrow(/^KOMMO_URL must /);
  });

  it('take plain http on a loopback address', () => {
    for (const host of ['127.0.0.1', '127.9.9.9:81', 'localhost:4000', '[::1]:4000'])
      expect(read({ KOMMO_URL: `http://${host}/{subdomain}` }).url).toContain(host);
  });

  it('name what an integration lacks', () => {
    expect(() => read({ KOMMO_CLIENT_ID: 'id' })).toThrow(
      'KOMMO_CLIENT_SECRET and KOMMO_REDIRECT_URI is missing',
    );
    const all = { KOMMO_CLIENT_ID: 'id', KOMMO_CLIENT_SECRET: 's', KOMMO_REDIRECT_URI: 'http://x' };
    expect(() => read(all)).toThrow(/KOMMO_REDIRECT_URI must be a URL/);
  });

  it('allow no more requests than Kommo does', () => {
    for (const rate of ['7.1', '0', '0.05', 'many'])
      expect(() => read({ KOMMO_REQUESTS_PER_SECOND: rate })).toThrow(/KOMMO_REQUESTS_PER_SECOND/);
    expect(read({ KOMMO_REQUESTS_PER_SECOND: '7' }).requestsPerSecond).toBe(7);
    expect(() => read({ KOMMO_EGRESS: 'a b' })).toThrow(/KOMMO_EGRESS/);
  });

  it('allow more where Kommo is a fake on this machine', () => {
    const many = { KOMMO_REQUESTS_PER_SECOND: '200' };
    const fake = { ...many, KOMMO_URL: 'http://127.0.0.1:4790/{subdomain}' };
    expect(read(fake).requestsPerSecond).toBe(200);
    const elsewhere = { ...many, KOMMO_URL: 'https://{subdomain}.example.com' };
    expect(() => read(elsewhere)).toThrow('must be 7 at most');
    expect(() => read({ ...fake, KOMMO_REQUESTS_PER_SECOND: '1001' })).toThrow(/KOMMO_REQUESTS/);
  });
});
