import fc from 'fast-check';
import examples from 'libphonenumber-js/mobile/examples';
import { getCountries, getCountryCallingCode, getExampleNumber } from 'libphonenumber-js/max';
import { describe, expect, it } from 'vitest';
import { contacts } from '../../domain/entities/contacts.ts';
import { parseJid } from '../../domain/jid.ts';
import { normalizePhone, PHONE_REFUSALS, phoneMatchKey, type Phone } from '../../domain/phone.ts';

const COUNTRIES = getCountries();

function read(raw: string, country: string): Phone {
  const phone = normalizePhone(raw, country);
  if (!phone.ok) throw new Error(`${raw} is refused: ${phone.reason}`);
  return phone;
}

/** Any UTF-16 unit, lone surrogates too. */
const codeUnits = fc.nat(0xffff).map((unit) => String.fromCharCode(unit));

/** Mostly numbers, of the default country or another, with what stands in and around them. */
const fields = fc.oneof(
  { weight: 1, arbitrary: fc.string({ unit: codeUnits }) },
  {
    weight: 2,
    arbitrary: fc
      .tuple(
        fc.constantFrom('', '+', '00', '0', "'", 'cel: ', '+51', '+52 1', '+549', '+55', '(+54) '),
        fc.stringMatching(/^[0-9 -]{5,16}$/),
        fc.constantFrom('', '.0', ' anexo 7', ' / 987654321', '@s.whatsapp.net', '@c.us', 'E+10'),
      )
      .map((parts) => parts.join('')),
  },
  {
    weight: 2,
    arbitrary: fc
      .tuple(fc.constantFrom(...COUNTRIES), fc.constantFrom('+', ''))
      .map(([country, plus]) => plus + getExampleNumber(country, examples)!.number.slice(1)),
  },
);
const countries = fc.oneof(
  fc.constantFrom('PE', 'MX', 'AR', 'BR', 'CL', 'US', 'DE'),
  fc.constantFrom(...COUNTRIES),
);

describe('every phone number', () => {
  it('is read from the example of every country, with its code and without a default', () => {
    for (const country of COUNTRIES) {
      const example = getExampleNumber(country, examples)!;
      const e164 = example.number.slice(1);
      expect(read(example.formatInternational(), 'ZZ').e164).toBe(e164);
      expect(read(e164, country).e164).toBe(e164);
    }
  });

  it('is what a contact may hold, and has its own key among what is looked up', () => {
    fc.assert(
      fc.property(fields, countries, (raw, country) => {
        const phone = normalizePhone(raw, country);
        if (!phone.ok) return;
        for (const one of [phone.e164, ...phone.alternates]) {
          expect(contacts.columns.phone.value.safeParse(one).success).toBe(true);
        }
        expect(phone.matchKey).toBe(phoneMatchKey(phone.e164));
        expect(phone.lookups[0]).toBe(phone.matchKey);
        expect(phone.lookups).toContain(phone.e164);
        expect(phone.alternates).not.toContain(phone.e164);
      }),
      { numRuns: 2_000 },
    );
  });

  it('is the same again: with a plus under any country, without one under its own', () => {
    fc.assert(
      fc.property(fields, countries, countries, (raw, country, other) => {
        const phone = normalizePhone(raw, country);
        if (!phone.ok) return;
        const { extension: _, ...number } = { ...phone, alternates: [] };
        expect(normalizePhone(`+${phone.e164}`, other)).toEqual(number);
        expect(normalizePhone(`${phone.e164}@s.whatsapp.net`, other)).toEqual(number);
        if (phone.e164.startsWith(getCountryCallingCode(country))) {
          expect(normalizePhone(phone.e164, country)).toEqual(number);
        }
        for (const user of phone.lookups) {
          expect(read(`${user}@s.whatsapp.net`, other).matchKey).toBe(phone.matchKey);
        }
      }),
      { numRuns: 2_000 },
    );
  });

  it('is an answer or a reason, never an exception, whatever the text and the country', () => {
    const anything = fc.string({ unit: codeUnits, maxLength: 300 });
    fc.assert(
      fc.property(fc.oneof(fields, anything), fc.oneof(countries, anything), (raw, country) => {
        const answer = normalizePhone(raw, country);
        if (!answer.ok) expect(answer.says).toBe(PHONE_REFUSALS[answer.reason]);
      }),
      { numRuns: 2_000 },
    );
  });

  it('is something else than a LID, whatever its digits', () => {
    const digits = fc.oneof(
      fc.stringMatching(/^[1-9]\d{0,17}$/),
      fc.constantFrom('51987654321', '12125550123', '5215512345678'),
    );
    const suffix = fc.constantFrom('', ':1', ':99', '_1:3');
    const servers = fc.constantFrom('lid', 'hosted.lid', 'LID');
    fc.assert(
      fc.property(digits, suffix, servers, countries, (user, device, server, country) => {
        const raw = `${user}${device}@${server}`;
        expect(normalizePhone(raw, country)).toMatchObject({ ok: false, reason: 'lid' });
        expect(parseJid(raw)).toMatchObject({ kind: 'lid', address: `${user}@lid` });
      }),
    );
    fc.assert(
      fc.property(fields, countries, (text, country) => {
        expect(normalizePhone(`${text}@lid`, country).ok).toBe(false);
      }),
    );
  });
});
