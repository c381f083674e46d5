import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseJid } from '../../domain/jid.ts';

/** Any UTF-16 unit, lone surrogates too. */
const codeUnits = fc.nat(0xffff).map((unit) => String.fromCharCode(unit));

const SERVERS = [
  's.whatsapp.net',
  'c.us',
  'hosted',
  'lid',
  'hosted.lid',
  'g.us',
  'broadcast',
  'newsletter',
  'bot',
  'call',
];

describe('a JID', () => {
  it.each([
    ['51987654321@s.whatsapp.net', 'user', '51987654321@s.whatsapp.net'],
    ['51987654321@c.us', 'user', '51987654321@s.whatsapp.net'],
    ['51987654321:99@hosted', 'user', '51987654321@s.whatsapp.net'],
    ['51987654321@S.WhatsApp.net', 'user', '51987654321@s.whatsapp.net'],
    ['99887766554433@lid', 'lid', '99887766554433@lid'],
    ['99887766554433:3@lid', 'lid', '99887766554433@lid'],
    ['99887766554433:99@hosted.lid', 'lid', '99887766554433@lid'],
    ['120363021234567890@g.us', 'group', '120363021234567890@g.us'],
    ['51987654321-1500000000@g.us', 'group', '51987654321-1500000000@g.us'],
    ['status@broadcast', 'status', 'status@broadcast'],
    ['1500000000@broadcast', 'broadcast', '1500000000@broadcast'],
    ['120363021234567890@newsletter', 'newsletter', '120363021234567890@newsletter'],
    ['867051314767696@bot', 'bot', '867051314767696@bot'],
  ])('%s is a %s with the address %s', (text, kind, address) => {
    expect(parseJid(text)).toMatchObject({ kind, address, user: address.split('@')[0] });
  });

  it.each([
    ['51987654321@s.whatsapp.net', 0],
    ['51987654321:0@s.whatsapp.net', 0],
    ['51987654321:12@s.whatsapp.net', 12],
    ['51987654321_1:12@s.whatsapp.net', 12],
    ['51987654321_1@s.whatsapp.net', 0],
    ['99887766554433:3@lid', 3],
  ])('%s names device %i of a person', (text, device) => {
    expect(parseJid(text)).toMatchObject({ device });
  });

  it('names a device of persons only', () => {
    expect(parseJid('120363021234567890@g.us')).not.toHaveProperty('device');
  });

  it.each([
    '',
    '@',
    '51987654321',
    '51987654321@',
    '@s.whatsapp.net',
    '0@s.whatsapp.net',
    'server@c.us',
    'juan@c.us',
    '12345@s.whatsapp.net',
    '1234567890123456@s.whatsapp.net',
    '0@lid',
    'status@lid',
    'juan@example.com',
    '51987654321@s.whatsapp.net.example.com',
    '+51987654321@s.whatsapp.net',
    '51987654321@s.whatsapp.net ',
    '51987654321:@s.whatsapp.net',
    '51987654321:1:2@s.whatsapp.net',
    '51987654321@lid@s.whatsapp.net',
    '123@call',
    `1${'0'.repeat(128)}@g.us`,
  ])('is not what %j is', (text) => {
    expect(parseJid(text)).toBeUndefined();
  });

  it('parses to an address that parses to itself, and never throws', () => {
    const servers = fc.constantFrom(...SERVERS);
    const users = fc.oneof(fc.stringMatching(/^\d{1,20}(:\d{1,3})?$/), fc.string());
    const texts = fc.oneof(
      fc.tuple(users, servers).map((parts) => parts.join('@')),
      fc.string({ unit: codeUnits }),
    );
    fc.assert(
      fc.property(texts, (text) => {
        const jid = parseJid(text);
        if (!jid) return;
        const again = 'device' in jid ? { ...jid, device: 0 } : jid;
        expect(parseJid(jid.address)).toEqual(again);
      }),
    );
  });
});
