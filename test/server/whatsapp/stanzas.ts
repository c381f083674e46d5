import { proto } from '@whiskeysockets/baileys';
import type { Me } from '../../../server/whatsapp/map-message.ts';

export const ME: Me = { jid: '51900000001@s.whatsapp.net', lid: '700000000000001@lid' };
export const ANA = { jid: '51987654321@s.whatsapp.net', lid: '99887766554433@lid' };
export const GROUP = '120363000000000001@g.us';
/** A second of 2026. */
export const T = 1_795_900_000;
export const NOW_MS = T * 1_000 + 5_000;

/** As a message is decrypted: encoded, with one to sixteen bytes that each say how many they are. */
export function padded(message: proto.IMessage, padding = 5): Uint8Array {
  const bytes = proto.Message.encode(proto.Message.create(message)).finish();
  return Buffer.concat([bytes, Buffer.alloc(padding, padding)]);
}

/** Attributes of a stanza of Ana's, from her LID, with her number beside it. */
export function attrsOf(id: string, more: Record<string, string> = {}): Record<string, string> {
  return {
    id,
    from: ANA.lid,
    sender_pn: ANA.jid,
    addressing_mode: 'lid',
    t: String(T),
    notify: 'Ana',
    type: 'text',
    ...more,
  };
}
