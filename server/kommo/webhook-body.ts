/** Something over there has changed: look at it. */
export type KommoHint = { readonly entity: 'lead' | 'contact'; readonly kommoId: number };

export type WebhookBody = {
  /** Kommo's id of the account that it says it is. */
  readonly kommoAccountId: number | undefined;
  readonly hints: readonly KommoHint[];
};

/** More than one call of Kommo's ever names; the rest is found by the next pass. */
const HINTS_MAX = 500;
const ENTITIES = { leads: 'lead', contacts: 'contact' } as const;
const NAME = /^(leads|contacts)\[[a-z_]{1,40}\]\[\d{1,5}\]\[id\]$/;
/** A lead that was accepted from the incoming ones: it could not be seen before. */
const ACCEPTED =
  /^unsorted\[[a-z_]{1,40}\]\[\d{1,5}\]\[accept_result\]\[(leads|contacts)\]\[\d{1,5}\]$/;

/**
 * What a webhook of Kommo's names, out of its form: `leads[status][0][id]=20010001&account[id]=31000001`. All of it is
 * taken as a hint: anybody could have sent it, and what it says of a lead is not looked at. Never throws.
 * https://developers.kommo.com/docs/webhooks-general
 */
export function readWebhookBody(text: string): WebhookBody {
  const hints = new Map<string, KommoHint>();
  let kommoAccountId: number | undefined;
  for (const [name, value] of new URLSearchParams(text)) {
    const id = readId(value);
    if (id === undefined) continue;
    if (name === 'account[id]') kommoAccountId = id;
    const entity = NAME.exec(name)?.[1] ?? ACCEPTED.exec(name)?.[1];
    if (entity !== 'leads' && entity !== 'contacts') continue;
    if (hints.size < HINTS_MAX)
      hints.set(`${entity} ${id}`, { entity: ENTITIES[entity], kommoId: id });
  }
  return { kommoAccountId, hints: [...hints.values()] };
}

function readId(value: string): number | undefined {
  const id = /^[1-9]\d{0,15}$/.test(value) ? Number(value) : Number.NaN;
  return Number.isSafeInteger(id) ? id : undefined;
}
