import type { proto } from '@whiskeysockets/baileys';

/** Fields whose message is what was really said: it disappears, is shown once, was written on another device, ... */
const WRAPPERS = [
  'deviceSentMessage',
  'ephemeralMessage',
  'viewOnceMessage',
  'viewOnceMessageV2',
  'viewOnceMessageV2Extension',
  'documentWithCaptionMessage',
  'editedMessage',
  'groupMentionedMessage',
  'botInvokeMessage',
  'botTaskMessage',
  'botForwardedMessage',
  'lottieStickerMessage',
  'associatedChildMessage',
  'pollCreationMessageV4',
  'pollCreationOptionImageMessage',
  'eventCoverImage',
  'groupStatusMessage',
  'groupStatusMessageV2',
  'questionMessage',
  'questionReplyMessage',
  'limitSharingMessage',
  'statusAddYours',
] as const satisfies readonly (keyof proto.IMessage)[];

/** Deeper than anything that WhatsApp sends. */
const DEPTH_MAX = 8;

type Unwrapped = {
  readonly message: proto.IMessage;
  /** What opens the votes of a poll; stands at whichever depth. */
  readonly secret: Uint8Array | undefined;
};

/** What a message says, without what it is packed in. */
export function unwrap(message: proto.IMessage): Unwrapped {
  let inner = message;
  let secret = secretOf(message);
  for (let depth = 0; depth < DEPTH_MAX; depth += 1) {
    const wrapped = wrappedIn(inner);
    if (!wrapped) break;
    inner = wrapped;
    secret = secretOf(inner) ?? secret;
  }
  return { message: inner, secret };
}

function wrappedIn(message: proto.IMessage): proto.IMessage | undefined {
  for (const name of WRAPPERS) {
    const inner = message[name]?.message;
    if (inner) return inner;
  }
  return undefined;
}

function secretOf(message: proto.IMessage): Uint8Array | undefined {
  const secret = message.messageContextInfo?.messageSecret;
  return secret && secret.length > 0 ? secret : undefined;
}
