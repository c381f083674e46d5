import { createHash } from 'node:crypto';
import { storableText } from '../commands/storable-text.ts';

/** Largest that numeric(14,2) of leads.value takes. */
const VALUE_MAX = 999_999_999_999.99;
/** Of the years 1 to 9999: others are printed with another number of digits. */
const SECONDS_MIN = -62_135_596_800;
const SECONDS_MAX = 253_402_300_799;
const DAY_SECONDS = 86_400;
const HASH_BYTES = 16;

/** As storableText, and without halves of characters, which JSON may hold and UTF-8 may not. */
export function mapText(
  text: string | null | undefined,
  charactersMax: number,
): string | undefined {
  return storableText(text?.toWellFormed(), charactersMax);
}

/** Unix seconds as RFC 3339, within the years 1 to 9999. */
export function mapTime(seconds: number): string {
  return new Date(Math.min(Math.max(seconds, SECONDS_MIN), SECONDS_MAX) * 1000).toISOString();
}

/**
 * The day, `2026-11-30`, of a date field. Kommo gives the midnight it began with in the account's time zone, which we do
 * not know: it is the midnight of UTC that is nearest.
 */
export function mapDay(seconds: number): string {
  const day = Math.ceil(seconds / DAY_SECONDS - 0.5) * DAY_SECONDS;
  return mapTime(day).slice(0, 'yyyy-mm-dd'.length);
}

/** A price as leads.value takes it. Kommo knows neither cents nor limits; what is below zero is zero, too much is cut. */
export function mapValue(price: number | null | undefined): string {
  return Math.min(Math.max(price ?? 0, 0), VALUE_MAX).toFixed(2);
}

/** `#rrggbb` in small letters. Undefined for what is no colour: Kommo leaves out the `#`, or all of it. */
export function mapColor(color: string | null | undefined): string | undefined {
  const digits = /^#?([0-9a-f]{6})$/i.exec(color?.trim() ?? '')?.[1];
  return digits === undefined ? undefined : `#${digits.toLowerCase()}`;
}

/** Hex of the first 16 bytes of SHA-256 over values whose order says what they are. */
export function hashOf(values: readonly unknown[]): string {
  const digest = createHash('sha256').update(JSON.stringify(values)).digest();
  return digest.subarray(0, HASH_BYTES).toString('hex');
}
