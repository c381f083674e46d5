/**
 * A spreadsheet that opens a CSV runs what looks like a formula, and the text of a chat or of a name is written by
 * strangers. Such a text is exported with an apostrophe before it, and loses one when it is imported: one that already
 * has apostrophes before a formula gets one more, so that a text comes back as it was.
 *
 * A sign before nothing but digits, spaces, dots and commas is a phone number or an amount: it computes nothing, and
 * +51 987 654 321 has to stay usable. With a second sign it is guarded, since 51-987 would be shown as a difference.
 */
const FORMULA = /^'*(?:\s*[=+\-@＝＋－＠]|[\t\r\n])/;
const SIGNED_NUMBER = /^'*[+-][0-9][0-9 .,]*$/;

/** What to write for this text. */
export function guardFormula(text: string): string {
  return isFormula(text) ? `'${text}` : text;
}

/** The text that was written as this one, by us or by whoever follows the same custom. */
export function unguardFormula(text: string): string {
  return text.startsWith("'") && isFormula(text.slice(1)) ? text.slice(1) : text;
}

function isFormula(text: string): boolean {
  return FORMULA.test(text) && !SIGNED_NUMBER.test(text);
}
