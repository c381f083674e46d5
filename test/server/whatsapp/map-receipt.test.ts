import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { mapReceipt, mapServerAck, type Node } from '../../../server/whatsapp/map-receipt.ts';
import { ANA, GROUP, ME, NOW_MS, T } from './stanzas.ts';

const AT = new Date(T * 1_000).toISOString();
const receipt = (attrs: Record<string, string>, content?: unknown) =>
  mapReceipt(
    { tag: 'receipt', attrs: { id: 'A', t: String(T), ...attrs }, content },
    { me: ME, nowMs: NOW_MS },
  );

describe('what a receipt says', () => {
  const chat = { jid: ANA.lid, lid: undefined };
  const phone = { from: '51900000001:0@s.whatsapp.net', recipient: ANA.lid };
  const table: [string, Record<string, string>, unknown][] = [
    ['delivered', { from: '99887766554433:3@lid' }, { chat, status: 'delivered', isOurs: false }],
    ['read', { from: ANA.lid, type: 'read' }, { chat, status: 'read', isOurs: false }],
    ['played', { from: ANA.lid, type: 'played' }, { chat, status: 'played', isOurs: false }],
    ['sent by our phone', { ...phone, type: 'sender' }, { chat, status: 'sent', isOurs: false }],
    [
      'read on our phone, and told',
      { ...phone, type: 'read' },
      { chat, status: 'read', isOurs: true },
    ],
    [
      'read on our phone, and not told',
      { ...phone, type: 'read-self' },
      { chat, status: 'read', isOurs: true },
    ],
    [
      'played on our phone',
      { ...phone, type: 'played-self' },
      { chat, status: 'played', isOurs: true },
    ],
    [
      'one of a group has read it',
      { from: GROUP, participant: ANA.lid, type: 'read' },
      { status: 'delivered', isOurs: false },
    ],
    [
      'we have read it in a group',
      { from: GROUP, participant: '700000000000001:2@lid', type: 'read-self' },
      { status: 'read', isOurs: true },
    ],
  ];
  it.each(table)('%s', (_, attrs, expected) => {
    expect(receipt(attrs)).toMatchObject({ messageIds: ['A'], at: AT, ...(expected as object) });
  });

  it.each(['inactive', 'retry', 'hist_sync', 'peer_msg', 'server-error', 'new-one'])(
    'nothing: %s',
    (type) => {
      expect(receipt({ from: ANA.lid, type })).toBeUndefined();
    },
  );

  it('of a list of messages at once, each of them once', () => {
    const items = ['B', 'C', 'A'].map((id) => ({ tag: 'item', attrs: { id } }));
    const content = [{ tag: 'list', attrs: {}, content: items }];
    expect(receipt({ from: ANA.jid, type: 'read' }, content)?.messageIds).toEqual(['A', 'B', 'C']);
  });

  it('nothing that others say of what they read on a phone of their own', () => {
    expect(receipt({ from: ANA.lid, type: 'read-self' })).toBeUndefined();
    expect(receipt({ from: 'status@broadcast', participant: ANA.lid })).toBeUndefined();
  });

  it('that the server has a message, unless it refuses it', () => {
    const ack = (more: Record<string, string>): Node => ({
      tag: 'ack',
      attrs: { class: 'message', id: 'A', from: ANA.jid, t: String(T), ...more },
    });
    expect(mapServerAck(ack({}), { nowMs: NOW_MS })).toMatchObject({
      messageIds: ['A'],
      status: 'sent',
      at: AT,
    });
    expect(mapServerAck(ack({ error: '463' }), { nowMs: NOW_MS })).toBeUndefined();
    expect(mapServerAck(ack({ class: 'receipt' }), { nowMs: NOW_MS })).toBeUndefined();
  });

  it('never throws', () => {
    const value = fc.oneof(
      fc.string(),
      fc.constantFrom(ANA.lid, ME.jid, GROUP, 'read', 'read-self'),
    );
    const attrs = fc.dictionary(
      fc.constantFrom('id', 'from', 'participant', 'recipient', 't', 'type', 'class'),
      value,
    );
    fc.assert(
      fc.property(attrs, fc.anything(), (given, content) => {
        const node = { tag: 'receipt', attrs: given, content };
        mapReceipt(node, { me: ME, nowMs: NOW_MS });
        mapServerAck(node, { nowMs: NOW_MS });
      }),
    );
  });
});
