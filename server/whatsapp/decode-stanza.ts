import { decodeMessageNode, proto, unpadRandomMax16 } from '@whiskeysockets/baileys';
import {
  mapMessage,
  readEnvelope,
  type Envelope,
  type Mapped,
  type Me,
  type MessageInfo,
} from './map-message.ts';
import { readParty } from './read-values.ts';

/** Attributes of a stanza, and its message as it was decrypted, with its padding. */
export type Stanza = {
  readonly attrs: Readonly<Record<string, string>>;
  readonly plain: Uint8Array;
};

export type Decoded = {
  /** Undefined: there is no saying whose conversation it belongs to. */
  readonly envelope: Envelope | undefined;
  readonly info: MessageInfo;
  readonly mapped: Mapped;
};

/**
 * What came in a stanza. Never throws, whatever is in it: a message that cannot be decoded is `unknown`, for as long as
 * one can see whose conversation it is in.
 */
export function decodeStanza(
  { attrs, plain }: Stanza,
  { me, nowMs }: { me: Me; nowMs: number },
): Decoded {
  const key = readKey(attrs, me);
  if (!key) return { envelope: undefined, info: {}, mapped: { does: 'nothing' } };
  const envelope = readEnvelope(key, nowMs);
  let message: proto.IMessage;
  try {
    message = proto.Message.decode(unpadRandomMax16(plain));
  } catch {
    return { envelope, info: key, mapped: unreadable(envelope) };
  }
  const info = { ...key, message };
  // Of ourselves to our other devices: no conversation, and something to do all the same.
  return {
    envelope,
    info,
    mapped: envelope ? mapMessage(message, { envelope, nowMs }) : { does: 'nothing' },
  };
}

/** One that could not be decoded: its place is kept for when it comes again. */
export function unreadable(envelope: Envelope | undefined): Mapped {
  if (!envelope) return { does: 'nothing' };
  return { does: 'say', content: { kind: 'unknown' }, at: envelope.sentAt, isForwarded: false };
}

function readKey(attrs: Stanza['attrs'], me: Me): MessageInfo | undefined {
  let info: MessageInfo;
  try {
    const stanza = { tag: 'message', attrs: { ...attrs }, content: [] };
    info = decodeMessageNode(stanza, me.jid, me.lid ?? '').fullMessage;
  } catch {
    return undefined;
  }
  const { key } = info;
  if (!key?.fromMe || readParty(key.remoteJid)?.jid.endsWith('@g.us')) return info;
  // Of one of ours Baileys takes our own other address for the other one of whom we wrote to.
  const isLid = readParty(key.remoteJid)?.jid.endsWith('@lid') === true;
  const remoteJidAlt = isLid
    ? (attrs['peer_recipient_pn'] ?? attrs['recipient_pn'])
    : (attrs['peer_recipient_lid'] ?? attrs['recipient_lid']);
  const { remoteJidAlt: _ours, ...rest } = key;
  return { ...info, key: remoteJidAlt === undefined ? rest : { ...rest, remoteJidAlt } };
}
