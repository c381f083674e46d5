import { parseJid } from '../../domain/jid.ts';
import { readParty, readSeconds, readStanzaId, type Party } from './read-values.ts';
import type { Me } from './map-message.ts';

/** A stanza as Baileys has it. */
export type Node = {
  readonly tag: string;
  readonly attrs: Readonly<Record<string, string | undefined>>;
  readonly content?: unknown;
};

/** How far some messages of one chat are, as one stanza says it. */
export type Receipt = {
  readonly chat: Party;
  readonly messageIds: readonly string[];
  readonly status: 'sent' | 'delivered' | 'read' | 'played';
  /** Our own phone has read what others wrote. */
  readonly isOurs: boolean;
  /** RFC 3339. */
  readonly at: string;
};

/** What one stanza may name. More is no receipt of WhatsApp's. */
const IDS_MAX = 5_000;

/**
 * What a receipt says of messages. Undefined: nothing (a wish for a message to be sent again, what our devices say to
 * each other), or no receipt. In a group one person's is not everybody's: that one of them has it is all that is told.
 */
export function mapReceipt(
  node: Node,
  { me, nowMs }: { me: Me; nowMs: number },
): Receipt | undefined {
  const { attrs } = node;
  const sender = readParty(attrs['participant'] ?? attrs['from']);
  const isOurs = sender !== undefined && (sender.jid === me.jid || sender.jid === me.lid);
  const chat = chatOf(attrs, isOurs);
  const status = statusOf(attrs['type'], isOurs);
  const messageIds = idsOf(node);
  if (!chat || !status || messageIds.length === 0) return undefined;
  const isGroup = chat.jid.endsWith('@g.us');
  return {
    chat,
    messageIds,
    status: isGroup && !isOurs ? 'delivered' : status,
    isOurs: isOurs && status !== 'sent',
    at: readSeconds(Number(attrs['t']), nowMs),
  };
}

/** The server has a message of ours. Undefined: an acknowledgement of something else, or a refusal. */
export function mapServerAck(node: Node, { nowMs }: { nowMs: number }): Receipt | undefined {
  const { attrs } = node;
  const chat = readParty(attrs['from']);
  const id = readStanzaId(attrs['id']);
  if (attrs['class'] !== 'message' || attrs['error'] !== undefined || !chat || id === undefined)
    return undefined;
  const at = readSeconds(Number(attrs['t']), nowMs);
  return { chat, messageIds: [id], status: 'sent', isOurs: false, at };
}

/** Of our own devices the stanza names whom we wrote to, or who wrote to us, besides. */
function chatOf(attrs: Node['attrs'], isOurs: boolean): Party | undefined {
  const { from = '', recipient } = attrs;
  if (!isOurs || parseJid(from)?.kind === 'group') return readParty(from);
  return readParty(recipient, attrs['peer_recipient_pn'] ?? attrs['recipient_pn']);
}

function statusOf(type: string | undefined, isOurs: boolean): Receipt['status'] | undefined {
  switch (type) {
    // Our own device has it: so the server has, too.
    case 'sender':
      return 'sent';
    // `-self` is from a phone that tells nobody else what it has read.
    case 'read-self':
      return isOurs ? 'read' : undefined;
    case 'played-self':
      return isOurs ? 'played' : undefined;
    case 'read':
    case 'played':
      return type;
    case undefined:
    case '':
      return isOurs ? undefined : 'delivered';
    // `inactive`, `retry`, `hist_sync`, `peer_msg`, `server-error`, and what comes one day.
    default:
      return undefined;
  }
}

function idsOf({ attrs, content }: Node): string[] {
  const ids = [readStanzaId(attrs['id'])];
  const lists = Array.isArray(content) ? (content as unknown[]) : [];
  for (const list of lists.slice(0, 1)) {
    for (const item of childrenOf(list).slice(0, IDS_MAX))
      if (isNode(item) && item.tag === 'item') ids.push(readStanzaId(item.attrs['id']));
  }
  return [...new Set(ids.flatMap((id) => id ?? []))];
}

function childrenOf(node: unknown): unknown[] {
  return isNode(node) && Array.isArray(node.content) ? (node.content as unknown[]) : [];
}

function isNode(value: unknown): value is Node {
  if (typeof value !== 'object' || value === null || !('tag' in value)) return false;
  return 'attrs' in value && typeof value.attrs === 'object' && value.attrs !== null;
}
