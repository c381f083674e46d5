import { ClarinError } from '../../domain/errors.ts';
import { parseJid } from '../../domain/jid.ts';

type Values = Readonly<Record<string, unknown>>;

const SAYS = 'is not the address of a person or a group';

/**
 * The values of a new contact with `jid` as it is stored: without a device, in the one spelling that a message from there
 * will name. A LID is kept as one, and a group is one, whoever writes it down.
 * @throws ClarinError invalid_request when nobody can have a conversation with it.
 */
export function withTypedJid(values: Values): Values {
  const typed = values['jid'];
  if (typeof typed !== 'string') return values;
  const jid = parseJid(typed);
  if (jid?.kind === 'user') return { ...values, jid: jid.address };
  if (jid?.kind === 'lid') return { ...values, jid: null, lid: jid.address };
  if (jid?.kind === 'group') return { ...values, jid: jid.address, is_group: true };
  throw new ClarinError('invalid_request', `body.jid: ${SAYS}`, {
    details: { fields: [{ field: 'body.jid', says: SAYS }] },
  });
}
