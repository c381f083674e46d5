/** What webhooks carry: nested data as `leads[update][0][id]=5`, everything as text, null as nothing. */
export function toForm(data: Readonly<Record<string, unknown>>): URLSearchParams {
  const form = new URLSearchParams();
  for (const [key, value] of Object.entries(data)) append(form, key, value);
  return form;
}

function append(form: URLSearchParams, key: string, value: unknown): void {
  if (value === undefined) return;
  if (value === null) form.append(key, '');
  else if (typeof value === 'boolean') form.append(key, value ? '1' : '0');
  else if (typeof value === 'object') {
    for (const [part, each] of Object.entries(value)) append(form, `${key}[${part}]`, each);
  } else form.append(key, String(value as string | number));
}
