import type { proto } from '@whiskeysockets/baileys';
import { decodeStanza, type Decoded } from '../../../server/whatsapp/decode-stanza.ts';
import type { Mapped, Said } from '../../../server/whatsapp/map-message.ts';
import { attrsOf, ME, NOW_MS, padded } from './stanzas.ts';

/** As it comes in a stanza, Ana's where nothing else is said. */
export function decode(message: proto.IMessage, attrs = attrsOf('M1')): Decoded {
  return decodeStanza({ attrs, plain: padded(message) }, { me: ME, nowMs: NOW_MS });
}

/** What a message says. @throws when it is none. */
export function said(message: proto.IMessage, attrs?: Record<string, string>): Said {
  const { mapped } = decode(message, attrs);
  if (mapped.does !== 'say') throw new Error(`it does ${mapped.does}`);
  return mapped;
}

export function does(message: proto.IMessage, attrs?: Record<string, string>): Mapped['does'] {
  return decode(message, attrs).mapped.does;
}
