/**
 * A message with places to be filled: `Hello {{name}}, about {{ product | your order }}`. What stands after the bar is
 * said to whoever has no such value. Names are letters, digits and underscores, in any case; everything else between
 * double braces is refused, because it would be sent as it stands.
 */
export type Template = readonly Part[];

type Part =
  | { readonly text: string }
  | { readonly name: string; readonly fallback: string | undefined };

/** Values by name, names in lower case. Numbers and booleans are printed, everything else that is no text counts as absent. */
export type TemplateValues = Readonly<Record<string, unknown>>;

export type Rendered = {
  readonly text: string;
  /** Names without a value and without a fallback, each once; the text has nothing in their place. */
  readonly missing: readonly string[];
  readonly isTooLong: boolean;
};

/** UTF-16 units of what is sent. */
export const RENDERED_MAX = 4_096;

const BRACES = /\{\{([^{}]*)\}\}/g;
const PLACE = /^\s*([\p{L}_][\p{L}\p{N}_]{0,39})\s*(?:\|([^|]*))?$/u;

/** The parts of a template, in their order; or one sentence that says what is wrong with it. */
export function parseTemplate(
  text: string,
): { readonly ok: true; readonly template: Template } | { readonly ok: false; says: string } {
  const template: Part[] = [];
  let end = 0;
  for (const match of text.matchAll(BRACES)) {
    const [whole, inner = ''] = match;
    const [, name, fallback] = PLACE.exec(inner) ?? [];
    if (name === undefined)
      return { ok: false, says: `holds ${whole}, which is no name of letters and digits` };
    template.push(
      { text: text.slice(end, match.index) },
      { name: name.toLowerCase(), fallback: fallback?.trim() },
    );
    end = match.index + whole.length;
  }
  template.push({ text: text.slice(end) });
  const isOpen = template.some((part) => 'text' in part && part.text.includes('{{'));
  return isOpen ? { ok: false, says: 'opens {{ and does not close it' } : { ok: true, template };
}

/** Names that every recipient needs a value of: those without a fallback wherever they stand, each once. */
export function neededNames(template: Template): string[] {
  const needed = template.flatMap((part) =>
    'name' in part && part.fallback === undefined ? [part.name] : [],
  );
  return [...new Set(needed)];
}

/** Fills the places. Once: braces that come with a value are text. */
export function renderTemplate(template: Template, values: TemplateValues): Rendered {
  const missing = new Set<string>();
  const text = template
    .map((part) => {
      if ('text' in part) return part.text;
      const value = printed(Object.hasOwn(values, part.name) ? values[part.name] : undefined);
      if (value !== '') return value;
      if (part.fallback === undefined) missing.add(part.name);
      return part.fallback ?? '';
    })
    .join('');
  return { text, missing: [...missing], isTooLong: text.length > RENDERED_MAX };
}

function printed(value: unknown): string {
  if (typeof value === 'string') return value.trim();
  return typeof value === 'number' || typeof value === 'boolean' ? String(value) : '';
}
