import {
  getCountryCallingCode,
  isSupportedCountry,
  parsePhoneNumberFromString,
  type CountryCode,
  type PhoneNumber,
} from 'libphonenumber-js/max';
import { parseJid, USER_SERVER } from './jid.ts';

/**
 * Phone numbers, whoever wrote them: people, spreadsheets, Kommo, WhatsApp. One number has three values that are
 * never one: what was typed, the number in E.164 (shown and exported), and the key by which two ways of dialling
 * one subscriber are found to be the same.
 *
 * The metadata is `max`: the smaller ones check little more than the length and accept what no country gives out.
 */

/** Why a text is no phone number, and the sentence for whoever typed it. */
export const PHONE_REFUSALS = {
  empty: 'There is no phone number here.',
  lid: 'This is a WhatsApp LID: it names a person and is no phone number.',
  other_address: 'This is the address of a group, a list, a channel, a bot or a mailbox.',
  letters: 'There is something other than a phone number here: write the digits only.',
  digits_lost: 'A spreadsheet has cut this number to 5.1987E+10 and its last digits are lost.',
  placeholder: 'One digit repeated is what people write when they do not know the number.',
  length: 'A phone number has 7 to 15 digits.',
  numbering_plan: 'No country gives out this number: check the country code and count the digits.',
} as const;

export type PhoneRefusal = keyof typeof PHONE_REFUSALS;

export type Phone = {
  readonly ok: true;
  /** Digits with the country code first, without the plus. */
  readonly e164: string;
  /** Further numbers of the same field, E.164 without the plus, in the order written. */
  readonly alternates: readonly string[];
  /** Digits to dial once somebody has answered. */
  readonly extension?: string;
  /** See `phoneMatchKey`. */
  readonly matchKey: string;
  /** See `phoneLookups`. */
  readonly lookups: readonly string[];
};

export type RefusedPhone = {
  readonly ok: false;
  readonly reason: PhoneRefusal;
  readonly says: string;
};

const DIGITS_MIN = 7;
const DIGITS_MAX = 15;
/** UTF-16 units of a field. Longer text is a note; the patterns below are not meant to search one. */
const TEXT_MAX = 256;

/** Soft hyphens, zero widths and marks of direction: copied along with a number and seen by nobody. */
const INVISIBLE = /[\u00ad\u061c\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]/g;
/** Quotes that make a spreadsheet keep a text. To be taken off before NFKC, which makes two characters of an accent. */
const QUOTES = /^[\s'"`´’‘“＇]+/;
const SEPARATOR = /[,|\n]|;(?!\s*ext\b)|\s\/\s|\s(?:y|o|or|e)\s/i;
const LABEL = /^(?:tel|tlf|telf|tel[eé]fono|phone|m[oó]vil|cel|celular|wa|whatsapp)\s*[.:][\s.:]*/i;
const EXTENSION =
  /;?\s?(?:extensi[oó]n|ext|anexo|anx|interno|int|ramal|x|#)\s?[.:=]?\s?(\d{1,6})$/i;
const SCIENTIFIC = /^\+?\d+(?:[.,]\d+)?e\+?\d+$/i;
/** 51,987,654,321: a number that was formatted as an amount. */
const GROUPED = /^\d{1,3}(?:,\d{3})+$/;
/** 51987654321.0: a number that was a number. */
const DECIMAL = /^(\+?\d{7,15})\.0+$/;
/** Letters, and digits of other scripts: left out, they would make another number of it. */
const FOREIGN = /\p{L}|(?![0-9])\p{N}/u;

/**
 * Reads a field that holds one phone number, or several. `defaultCountry` is the account's, ISO 3166 in capitals;
 * when nobody knows it, only numbers with a country code are read. Never throws.
 *
 * Digits without a plus are the default country's before they are another's: 51987654321 is a mobile of Peru, and in
 * Brazil one of Porto Alegre. So a foreign number is to be passed on with a plus: `+` and the `e164` of an answer give
 * the same number again under any country, the digits alone under a country whose code they begin with.
 */
export function normalizePhone(raw: string, defaultCountry: string): Phone | RefusedPhone {
  if (raw.length > TEXT_MAX) return refuse('length');
  const country = isSupportedCountry(defaultCountry) ? defaultCountry : undefined;
  const text = raw.replace(INVISIBLE, '').replace(QUOTES, '').normalize('NFKC').trim();
  if (text === '') return refuse('empty');
  if (text.includes('@')) return readAddress(text);
  if (SCIENTIFIC.test(text)) return refuse('digits_lost');
  const all = splitNumbers(text).map((part) => readNumber(part, country));
  const numbers = new Map<string, Phone>();
  for (const one of all) if (one.ok && !numbers.has(one.matchKey)) numbers.set(one.matchKey, one);
  const [first, ...others] = numbers.values();
  if (!first) return all[0] ?? refuse('empty');
  return { ...first, alternates: others.map(({ e164 }) => e164) };
}

/**
 * The same text for every way one subscriber is dialled: Mexico's 52 1, Argentina's 54 9 and Brazil's ninth digit
 * are left out, for WhatsApp's identities have them or not, as the account was made. Takes and returns digits
 * without a plus and is not to be shown or called. `clarin.phone_key` is the same in SQL.
 */
export function phoneMatchKey(phone: string): string {
  return phone
    .replace(/^521(\d{10})$/, '52$1')
    .replace(/^549(\d{10})$/, '54$1')
    .replace(/^55(\d\d)9([6-9]\d{7})$/, '55$1$2');
}

/**
 * Every user part under which WhatsApp may know the subscriber, the key first. Which one it is, WhatsApp says: a JID
 * is stored as it came and never made of a number.
 */
export function phoneLookups(phone: string): string[] {
  const key = phoneMatchKey(phone);
  const longer = key
    .replace(/^52(\d{10})$/, '521$1')
    .replace(/^54(\d{10})$/, '549$1')
    .replace(/^55(?<area>\d\d)(?<line>[6-9]\d{7})$/, '55$<area>9$<line>');
  return longer === key ? [key] : [key, longer];
}

/**
 * The JID the program before Clarin made of a field: of Peru alone, and without a check. Rows that it stored are found
 * by it; nothing new is. Undefined when nothing is left of the text.
 */
export function legacyJid(raw: string): string | undefined {
  const text = raw
    .trim()
    .replace(/^'/, '')
    .replace(/[ ()-]/g, '')
    .replace(/^\+/, '');
  if (text === '') return undefined;
  return `${/^9\d{8}$/.test(text) ? '51' : ''}${text}@${USER_SERVER}`;
}

function refuse(reason: PhoneRefusal): RefusedPhone {
  return { ok: false, reason, says: PHONE_REFUSALS[reason] };
}

function accept(e164: string, extension: string | undefined): Phone {
  return {
    ok: true,
    e164,
    alternates: [],
    ...(extension !== undefined && { extension }),
    matchKey: phoneMatchKey(e164),
    lookups: phoneLookups(e164),
  };
}

function readAddress(text: string): Phone | RefusedPhone {
  const jid = parseJid(text);
  if (jid?.kind === 'lid') return refuse('lid');
  if (jid?.kind !== 'user') return refuse('other_address');
  return readDigits({ digits: jid.user, isInternational: true }, undefined, undefined);
}

/** `987/654/321` is one number; with more digits than a number has, it is two. */
function splitNumbers(text: string): string[] {
  if (GROUPED.test(text)) return [text.replaceAll(',', '')];
  return text
    .split(SEPARATOR)
    .flatMap((part) => (part.replace(/\D/g, '').length > DIGITS_MAX ? part.split('/') : [part]))
    .map((part) => part.trim())
    .filter((part) => part !== '');
}

function readNumber(part: string, country: CountryCode | undefined): Phone | RefusedPhone {
  const text = part.replace(LABEL, '').replace(DECIMAL, '$1');
  if (SCIENTIFIC.test(text)) return refuse('digits_lost');
  const extension = EXTENSION.exec(text);
  const number = extension ? text.slice(0, extension.index) : text;
  if (FOREIGN.test(number)) return refuse('letters');
  const digits = number.replace(/\D/g, '');
  const hasPlus = /^\D*\+/.test(number);
  const hasPrefix = /^00[1-9]/.test(digits);
  const dialled = {
    digits: hasPrefix ? digits.slice(2) : digits,
    isInternational: hasPlus || hasPrefix,
  };
  return readDigits(dialled, country, extension?.[1]);
}

type Dialled = { readonly digits: string; readonly isInternational: boolean };

function readDigits(
  dialled: Dialled,
  country: CountryCode | undefined,
  extension: string | undefined,
): Phone | RefusedPhone {
  const { length } = dialled.digits;
  if (length < DIGITS_MIN || length > DIGITS_MAX) return refuse('length');
  if (isPlaceholder(dialled.digits)) return refuse('placeholder');
  const e164 = findNumber(withoutMexicanPrefix(dialled, country), country);
  if (e164 === undefined) return refuse('numbering_plan');
  return isPlaceholder(e164) ? refuse('placeholder') : accept(e164, extension);
}

/** Numbering plans know nothing of it: 999999999 is a mobile of Peru. */
function isPlaceholder(digits: string): boolean {
  return /^(\d)\1+$/.test(digits.slice(-8));
}

/** Prefixes that Mexico gave up in 2019 and 2020. The metadata no longer knows them; WhatsApp still uses 52 1. */
function withoutMexicanPrefix(dialled: Dialled, country: CountryCode | undefined): Dialled {
  const mobile = /^521(\d{10})$/.exec(dialled.digits);
  if (mobile) return { digits: `52${mobile[1]}`, isInternational: true };
  if (country !== 'MX' || dialled.isInternational) return dialled;
  return { ...dialled, digits: dialled.digits.replace(/^(?:044|045|01)(\d{10})$/, '$1') };
}

/** E.164 without the plus. Undefined when no numbering plan has the number. */
function findNumber(dialled: Dialled, country: CountryCode | undefined): string | undefined {
  const { digits, isInternational } = dialled;
  const abroad = (): string | undefined => readPlan(digits);
  const atHome = (): string | undefined => country && readPlan(digits, country);
  // Without a plus, yet with the country's own code: in Germany it would pass for an area code.
  const isWhole = country !== undefined && digits.startsWith(getCountryCallingCode(country));
  if (!isInternational && !isWhole) return atHome() ?? abroad();
  // A plus before a national number is a slip; before a longer one it is meant.
  return abroad() ?? (isInternational && digits.length > 10 ? undefined : atHome());
}

function readPlan(digits: string, country?: CountryCode): string | undefined {
  const number: PhoneNumber | undefined = country
    ? parsePhoneNumberFromString(digits, { defaultCountry: country, extract: false })
    : parsePhoneNumberFromString(`+${digits}`, { extract: false });
  if (!number) return undefined;
  const e164 = number.number.slice(1);
  // A mobile of Brazil from before its ninth digit.
  const old = /^55(\d\d)([6-9]\d{7})$/.exec(e164);
  if (old) return readPlan(`55${old[1]}9${old[2]}`);
  // Uruguay gives out free numbers that are too long to be called from abroad.
  return number.isValid() && e164.length <= DIGITS_MAX ? e164 : undefined;
}
