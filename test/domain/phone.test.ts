import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  legacyJid,
  normalizePhone,
  PHONE_REFUSALS,
  phoneLookups,
  phoneMatchKey,
  type Phone,
  type PhoneRefusal,
  type RefusedPhone,
} from '../../domain/phone.ts';

/** As typed, the default country, E.164, and what to look up in WhatsApp: the first of it is the match key. */
const NUMBERS: readonly (readonly [string, string, string, ...string[]])[] = [
  ['+51 987 654 321', 'PE', '51987654321', '51987654321'],
  ['987654321', 'PE', '51987654321', '51987654321'],
  ['51987654321', 'PE', '51987654321', '51987654321'],
  ['0051987654321', 'PE', '51987654321', '51987654321'],
  ['+51 0987654321', 'PE', '51987654321', '51987654321'],
  ['(01) 555-1234', 'PE', '5115551234', '5115551234'],
  ['9 8765-4321', 'PE', '51987654321', '51987654321'],
  ['51987654321@s.whatsapp.net', 'PE', '51987654321', '51987654321'],
  ['51987654321:12@s.whatsapp.net', 'PE', '51987654321', '51987654321'],
  ['51987654321@c.us', 'MX', '51987654321', '51987654321'],
  ['+52 1 55 1234 5678', 'MX', '525512345678', '525512345678', '5215512345678'],
  ['5215512345678', 'PE', '525512345678', '525512345678', '5215512345678'],
  ['5215512345678@s.whatsapp.net', 'MX', '525512345678', '525512345678', '5215512345678'],
  ['+52 55 1234 5678', 'MX', '525512345678', '525512345678', '5215512345678'],
  ['5512345678', 'MX', '525512345678', '525512345678', '5215512345678'],
  ['044 55 1234 5678', 'MX', '525512345678', '525512345678', '5215512345678'],
  ['045 55 1234 5678', 'MX', '525512345678', '525512345678', '5215512345678'],
  ['01 55 1234 5678', 'MX', '525512345678', '525512345678', '5215512345678'],
  ['00 52 1 55 1234 5678', 'AR', '525512345678', '525512345678', '5215512345678'],
  ['+54 9 11 2345-6789', 'AR', '5491123456789', '541123456789', '5491123456789'],
  ['+54 11 2345-6789', 'AR', '541123456789', '541123456789', '5491123456789'],
  ['011 15 2345-6789', 'AR', '5491123456789', '541123456789', '5491123456789'],
  ['5491123456789@s.whatsapp.net', 'AR', '5491123456789', '541123456789', '5491123456789'],
  ['0351 15 312-3456', 'AR', '5493513123456', '543513123456', '5493513123456'],
  ['11 2345-6789', 'AR', '541123456789', '541123456789', '5491123456789'],
  ['+55 11 98765-4321', 'BR', '5511987654321', '551187654321', '5511987654321'],
  ['+55 11 8765-4321', 'BR', '5511987654321', '551187654321', '5511987654321'],
  ['551187654321@s.whatsapp.net', 'BR', '5511987654321', '551187654321', '5511987654321'],
  ['553187654321@s.whatsapp.net', 'BR', '5531987654321', '553187654321', '5531987654321'],
  ['(011) 98765-4321', 'BR', '5511987654321', '551187654321', '5511987654321'],
  ['0 15 11 98765-4321', 'BR', '5511987654321', '551187654321', '5511987654321'],
  ['+55 11 3456-7890', 'BR', '551134567890', '551134567890'],
  ['12125550123', 'MX', '12125550123', '12125550123'],
  ['56987654321', 'PE', '56987654321', '56987654321'],
  ['+56 9 8765 4321', 'PE', '56987654321', '56987654321'],
  ['3001234567', 'CO', '573001234567', '573001234567'],
  ['0991234567', 'EC', '593991234567', '593991234567'],
  ['0034612345678', 'PE', '34612345678', '34612345678'],
  ['+593 99 123 4567', 'PE', '593991234567', '593991234567'],
  ['+51987654321;+51912345678', 'PE', '51987654321', '51987654321'],
  ['987654321 / 912345678', 'PE', '51987654321', '51987654321'],
  ['+51 987 654 321 anexo 22', 'PE', '51987654321', '51987654321'],
  ['tel:+51987654321', 'PE', '51987654321', '51987654321'],
  ['whatsapp: 987654321', 'PE', '51987654321', '51987654321'],
  ['+51\u00a0987\u200e654321', 'PE', '51987654321', '51987654321'],
  ['＋51 987 654 321', 'PE', '51987654321', '51987654321'],
  ['51987654321.0', 'PE', '51987654321', '51987654321'],
  ["'+51987654321", 'PE', '51987654321', '51987654321'],
  ["' +51 987 654 321", 'PE', '51987654321', '51987654321'],
  ['987.654.321', 'PE', '51987654321', '51987654321'],
  ['987/654/321', 'PE', '51987654321', '51987654321'],
  ['+987654321', 'PE', '51987654321', '51987654321'],
  ['++51987654321', 'PE', '51987654321', '51987654321'],
  ['0987654321', 'PE', '51987654321', '51987654321'],
  ['012345678', 'PE', '5112345678', '5112345678'],
  ['12345678', 'PE', '5112345678', '5112345678'],
  ['1 415 555 2671', 'PE', '14155552671', '14155552671'],
];

const REFUSED: readonly (readonly [string, string, PhoneRefusal])[] = [
  ['99887766554433@lid', 'PE', 'lid'],
  ['99887766554433:3@lid', 'PE', 'lid'],
  ['99887766554433', 'PE', 'numbering_plan'],
  ['154417159582282', 'PE', 'numbering_plan'],
  ['120363021234567890@g.us', 'PE', 'other_address'],
  ['status@broadcast', 'PE', 'other_address'],
  ['5.1987654321E+10', 'PE', 'digits_lost'],
  ['Juan 987654321', 'PE', 'letters'],
  ['999999999', 'PE', 'placeholder'],
  ['000000000', 'PE', 'placeholder'],
  ['123', 'PE', 'length'],
  ['+999123456789', 'PE', 'numbering_plan'],
  ['N/A', 'PE', 'letters'],
  ['', 'PE', 'empty'],
  ['86560837992629', 'PE', 'numbering_plan'],
  ['235085806727321', 'PE', 'numbering_plan'],
];

function read(raw: string, country: string): Phone {
  const phone = normalizePhone(raw, country);
  if (!phone.ok) throw new Error(`${raw} is refused: ${phone.reason}`);
  return phone;
}

function reasonOf(answer: Phone | RefusedPhone): PhoneRefusal | undefined {
  return answer.ok ? undefined : answer.reason;
}

describe('a phone number', () => {
  it.each(NUMBERS)('%j under %s is +%s', (raw, country, e164, ...lookups) => {
    expect(normalizePhone(raw, country)).toMatchObject({
      ok: true,
      e164,
      matchKey: lookups[0],
      lookups,
    });
  });

  it.each(REFUSED)('%j under %s is refused: %s', (raw, country, reason) => {
    expect(normalizePhone(raw, country)).toEqual({
      ok: false,
      reason,
      says: PHONE_REFUSALS[reason],
    });
  });

  it.each([
    ['+51987654321;+51912345678', '51987654321', ['51912345678']],
    ['987654321 / 912345678', '51987654321', ['51912345678']],
    ['987654321/912345678', '51987654321', ['51912345678']],
    ['987654321 y 912345678, 01 555 1234', '51987654321', ['51912345678', '5115551234']],
    ['cel: 987654321, whatsapp: +51 987 654 321', '51987654321', []],
    ['no tiene, 987654321', '51987654321', []],
    ['+54 9 11 2345-6789 o +54 11 2345-6789', '5491123456789', []],
    ['987654321', '51987654321', []],
  ])('%j has the numbers %s and %j', (raw, e164, alternates) => {
    expect(read(raw, 'PE')).toMatchObject({ e164, alternates });
  });

  it.each([
    ['+51 987 654 321 anexo 22', '22'],
    ['987654321 ext. 7', '7'],
    ['987654321x105', '105'],
    ['tel:+51987654321;ext=22', '22'],
    ['(01) 555-1234 #4', '4'],
    ['(01) 555-1234 extensión: 4', '4'],
  ])('%j has the extension %s', (raw, extension) => {
    expect(read(raw, 'PE').extension).toBe(extension);
  });

  it('has no member for an extension that is not there', () => {
    expect(read('987654321', 'PE')).not.toHaveProperty('extension');
  });

  it('is read out of an amount, and refused when an amount has cut it', () => {
    expect(read('51,987,654,321', 'PE').e164).toBe('51987654321');
    expect(reasonOf(normalizePhone('5,1987654321E+10', 'PE'))).toBe('digits_lost');
  });

  it('is not made of the digits that are left when those of another script are dropped', () => {
    expect(reasonOf(normalizePhone('٥987654321', 'PE'))).toBe('letters');
    expect(read('９８７６５４３２１', 'PE').e164).toBe('51987654321');
  });

  it('is nowhere in a text without a digit or in one as long as a note', () => {
    for (const raw of [' ', '\u200e', "'", ';', ' , ']) {
      expect(reasonOf(normalizePhone(raw, 'PE'))).toBe('empty');
    }
    expect(reasonOf(normalizePhone(`987654321${' '.repeat(256)}`, 'PE'))).toBe('length');
  });

  it('needs its country code where the country is not known', () => {
    for (const country of ['', 'ZZ', 'pe', 'constructor', '__proto__']) {
      expect(read('+51 987 654 321', country).e164).toBe('51987654321');
      expect(reasonOf(normalizePhone('987 654 321', country))).toBe('numbering_plan');
    }
  });

  it('is the default country’s before it is another’s, unless it has a plus', () => {
    expect(read('51987654321', 'BR').e164).toBe('5551987654321');
    expect(read('+51987654321', 'BR').e164).toBe('51987654321');
    expect(read('51987654321@s.whatsapp.net', 'BR').e164).toBe('51987654321');
  });

  it('is refused when its country code makes it longer than a number is', () => {
    expect(reasonOf(normalizePhone('0004813818655', 'UY'))).toBe('numbering_plan');
  });

  it('is a placeholder also when that shows only with the country code', () => {
    expect(reasonOf(normalizePhone('03333333', 'AT'))).toBe('placeholder');
  });

  it('is whole when it begins with the country’s own code, also where that is an area code', () => {
    expect(read('4915123456789', 'DE').e164).toBe('4915123456789');
    expect(read('55987654321', 'BR').e164).toBe('5555987654321');
  });
});

describe('the match key', () => {
  it.each([
    ['5215512345678', '525512345678'],
    ['525512345678', '525512345678'],
    ['5491123456789', '541123456789'],
    ['541123456789', '541123456789'],
    ['5511987654321', '551187654321'],
    ['551187654321', '551187654321'],
    ['551134567890', '551134567890'],
    // Too long or too short for the rule of its country.
    ['521551234567', '521551234567'],
    ['54911234567890', '54911234567890'],
    ['5511287654321', '5511287654321'],
    ['51987654321', '51987654321'],
  ])('of %s is %s', (phone, key) => {
    expect(phoneMatchKey(phone)).toBe(key);
  });

  it('is its own key, and the same for everything that is looked up', () => {
    const phones = fc.stringMatching(/^(?:52|521|54|549|55|51|)[1-9]\d{7,11}$/);
    fc.assert(
      fc.property(phones, (phone) => {
        const key = phoneMatchKey(phone);
        expect(phoneMatchKey(key)).toBe(key);
        for (const user of phoneLookups(phone)) expect(phoneMatchKey(user)).toBe(key);
        expect(phoneLookups(phone)).toContain(phone);
      }),
    );
  });

  it('is looked up with the 1 of Mexico, the 9 of Argentina and the ninth digit of Brazil', () => {
    expect(phoneLookups('525512345678')).toEqual(['525512345678', '5215512345678']);
    expect(phoneLookups('5491123456789')).toEqual(['541123456789', '5491123456789']);
    expect(phoneLookups('5511987654321')).toEqual(['551187654321', '5511987654321']);
    expect(phoneLookups('551134567890')).toEqual(['551134567890']);
  });
});

describe('the JID of the program before', () => {
  it.each([
    ['987654321', '51987654321'],
    [' 9 8765-4321 ', '51987654321'],
    ["'+51987654321", '51987654321'],
    ["' +51 987 654 321", '51987654321'],
    ['+987654321', '51987654321'],
    ['(01) 555-1234', '015551234'],
    ['0051987654321', '0051987654321'],
    ['0987654321', '0987654321'],
    ['12345678', '12345678'],
    ['987.654.321', '987.654.321'],
    ['++51987654321', '+51987654321'],
  ])('of %j is that of %s', (raw, user) => {
    expect(legacyJid(raw)).toBe(`${user}@s.whatsapp.net`);
  });

  it('is none for a field without a number', () => {
    for (const raw of ['', ' ', "'", '+', '(-)']) expect(legacyJid(raw)).toBeUndefined();
  });

  it('is of the number that is read today for a mobile of Peru', () => {
    fc.assert(
      fc.property(fc.stringMatching(/^9\d{8}$/), (mobile) => {
        const phone = normalizePhone(mobile, 'PE');
        if (phone.ok) expect(legacyJid(mobile)).toBe(`${phone.e164}@s.whatsapp.net`);
        else expect(phone.reason).toBe('placeholder');
      }),
    );
  });
});
