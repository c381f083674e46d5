import { proto } from '@whiskeysockets/baileys';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { columnsOf } from '../../../server/commands/received-content.ts';
import { decodeStanza } from '../../../server/whatsapp/decode-stanza.ts';
import { mapMessage } from '../../../server/whatsapp/map-message.ts';
import { decode } from './decoding.ts';
import { ANA, attrsOf, GROUP, ME, NOW_MS, T } from './stanzas.ts';

describe('whatever comes', () => {
  const attrs = fc.dictionary(
    fc.constantFrom(
      'id',
      'from',
      'participant',
      'recipient',
      't',
      'sender_pn',
      'participant_lid',
      'notify',
    ),
    fc.oneof(
      fc.string(),
      fc.constantFrom(ANA.jid, ANA.lid, ME.jid, GROUP, 'status@broadcast', String(T), '-1'),
    ),
  );

  it('never throws on bytes, and keeps a place for what cannot be read', () => {
    fc.assert(
      fc.property(attrs, fc.uint8Array({ maxLength: 200 }), (given, plain) => {
        const { envelope, mapped } = decodeStanza(
          { attrs: given, plain },
          { me: ME, nowMs: NOW_MS },
        );
        if (!envelope) expect(mapped).toEqual({ does: 'nothing' });
      }),
      { numRuns: 2_000 },
    );
    const broken = decodeStanza(
      { attrs: attrsOf('B'), plain: Uint8Array.of(255, 255, 1) },
      { me: ME, nowMs: NOW_MS },
    );
    expect(broken.mapped).toMatchObject({ does: 'say', content: { kind: 'unknown' } });
  });

  it('is without halves of characters, which Postgres refuses', () => {
    const { envelope } = decode({ conversation: 'x' });
    if (!envelope) throw new Error('nowhere');
    const mapped = mapMessage({ conversation: 'a\ud800b' }, { envelope, nowMs: NOW_MS });
    expect(mapped).toMatchObject({ content: { kind: 'text', text: 'a\ufffdb' } });
  });

  it('never throws on a decoded message, and what it gives fits into the columns', () => {
    fc.assert(
      fc.property(messages(), (message) => {
        const { mapped } = decode(message);
        if (mapped.does !== 'say') return;
        // Half a character is text to nobody, and jsonb refuses it.
        expect(JSON.stringify([columnsOf(mapped.content), mapped.quoted])).not.toMatch(
          /\\ud[89a-f]/,
        );
      }),
      { numRuns: 1_000 },
    );
  });
});

/** Messages of any fields, filled as their types say with anything, and packed in each other. */
function messages(): fc.Arbitrary<proto.IMessage> {
  const names = Object.keys(proto.Message.prototype).filter(
    (name) => /^[a-z]/.test(name) && name !== 'conversation',
  );
  const text = fc.oneof(fc.string(), fc.constant('\ud800\0'), fc.constant(''));
  const key = fc.record({ id: text, remoteJid: text, fromMe: fc.boolean() }, { requiredKeys: [] });
  const inner = fc.record(
    {
      text,
      name: text,
      caption: text,
      key,
      type: fc.integer({ min: 0, max: 40 }),
      vcard: text,
      seconds: fc.integer(),
      fileLength: fc.maxSafeNat(),
      degreesLatitude: fc.double(),
      degreesLongitude: fc.double(),
      options: fc.array(fc.record({ optionName: text })),
      contextInfo: fc.record({
        stanzaId: text,
        participant: text,
        quotedMessage: fc.constant({ conversation: 'q' }),
      }),
      message: fc.constantFrom({ conversation: 'in' }, {}, { imageMessage: {} }),
    },
    { requiredKeys: [] },
  );
  return fc.dictionary(fc.constantFrom(...names), inner, { maxKeys: 3 }).map((object) => {
    try {
      return proto.Message.decode(proto.Message.encode(proto.Message.fromObject(object)).finish());
    } catch {
      return {};
    }
  });
}
