/** What becomes of a message that was not sent as it should. */
export type SendVerdict =
  /** It will never be, and why, for people. */
  | { readonly kind: 'failed'; readonly reason: string }
  /** It is tried again by the same id, some times; then it has failed for this reason. */
  | { readonly kind: 'retry'; readonly reason: string }
  /** WhatsApp wants us to be slower: nothing is sent for a while. */
  | { readonly kind: 'pause' }
  /** There is no connection, and that counts for nothing. */
  | { readonly kind: 'disconnected' };

/** Sentences for people, by what is wrong. */
export const SEND_REFUSALS = {
  do_not_contact: 'The contact does not want to be contacted.',
  not_on_whatsapp: 'This number is not on WhatsApp.',
  not_looked_up: 'WhatsApp did not say whether it knows the number.',
  target_not_sent: 'The message it is about was not sent.',
  target_revoked: 'The message it is about was taken back.',
  target_gone: 'The message it is about is not there any more.',
  file_gone: 'Its file is gone.',
  file_too_large: 'Its file is larger than WhatsApp takes.',
  file_not_fetched: 'Its file could not be fetched from WhatsApp.',
  not_sendable: 'A message of this kind cannot be sent.',
  too_old:
    'It waited for its device for more than a day and was not sent: it may not be meant any more.',
  no_turn:
    'It waited for three days: this device may begin so many new conversations within a day, and others came first. Send it again if it is still meant.',
  restricted:
    'WhatsApp does not let this number begin new conversations at the moment. Those there are go on; wait a day before writing to somebody new.',
  rejected: 'WhatsApp refused it as malformed for this recipient (479). It was not delivered.',
  no_devices: 'No device of the recipient could be reached.',
  not_uploaded: 'Its file could not be uploaded to WhatsApp.',
  not_in_group: 'This number is not in the group any more, or may not write in it.',
  unknown: 'It is not known whether it arrived: WhatsApp confirmed none of several attempts.',
} as const;

const RESTRICTED = 463;
const REJECTED = 479;
const TOO_MANY = [429, 420];
const SHUT_OUT = [401, 403, 404];
/** Baileys' own. */
const DISCONNECTED = 428;

/** By the `error` of WhatsApp's answer to a message. */
export function judgeAck(error: string): SendVerdict {
  const code = Number(error);
  // Never tried again: each attempt counts as one more stranger that was written to.
  if (code === RESTRICTED) return { kind: 'failed', reason: SEND_REFUSALS.restricted };
  if (code === REJECTED) return { kind: 'failed', reason: SEND_REFUSALS.rejected };
  if (TOO_MANY.includes(code)) return { kind: 'pause' };
  if (code >= 500 && code < 600) return { kind: 'retry', reason: SEND_REFUSALS.unknown };
  return { kind: 'failed', reason: `WhatsApp refused it (error ${error.slice(0, 20)}).` };
}

/** By what was thrown on the way out. What no repetition helps is given up, all else is tried again. */
export function judgeSendError(error: unknown, { isGroup }: { isGroup: boolean }): SendVerdict {
  if (error instanceof SendRefusal) return { kind: 'failed', reason: error.message };
  if (error instanceof SendFault) return { kind: 'retry', reason: error.message };
  const code = codeOf(error);
  if (code === DISCONNECTED) return { kind: 'disconnected' };
  if (code !== undefined && TOO_MANY.includes(code)) return { kind: 'pause' };
  const isShutOut = isGroup && code !== undefined && SHUT_OUT.includes(code);
  if (isShutOut) return { kind: 'failed', reason: SEND_REFUSALS.not_in_group };
  return { kind: 'retry', reason: SEND_REFUSALS.unknown };
}

/** Of a Boom of Baileys': an error that WhatsApp answered has its code as `data`, Baileys' own have theirs as a status. */
function codeOf(error: unknown): number | undefined {
  if (!(error instanceof Error) || !('isBoom' in error)) return undefined;
  const { data, output } = error as { data?: unknown; output?: { statusCode?: number } };
  return typeof data === 'number' ? data : output?.statusCode;
}

/** A message that cannot be sent, found on the way. Its message is the sentence for people. */
export class SendRefusal extends Error {
  constructor(reason: string) {
    super(reason);
    this.name = 'SendRefusal';
  }
}

/** What may go better another time. Its message is the sentence for people, if it does not. */
export class SendFault extends Error {
  constructor(reason: string, options?: ErrorOptions) {
    super(reason, options);
    this.name = 'SendFault';
  }
}
