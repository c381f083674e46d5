import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  chatJids,
  identitiesOf,
  isSameLine,
  readAddresses,
} from '../../../server/commands/addresses.ts';
import { storableJson, storableText } from '../../../server/commands/storable-text.ts';

describe('addresses', () => {
  it('are stored without agent and device, a number by its phone too, a LID as a LID', () => {
    expect(readAddresses({ jid: '51987654321:12@C.US' })).toMatchObject({
      jid: '51987654321@s.whatsapp.net',
      phone: '51987654321',
      isGroup: false,
    });
    expect(readAddresses({ jid: '551187654321@s.whatsapp.net' }).phone).toBe('5511987654321');
    const lid = readAddresses({ jid: '235085806727321:3@lid' });
    expect(lid).toMatchObject({ lid: '235085806727321@lid' });
    expect([lid.jid, lid.phone]).toEqual([undefined, undefined]);
    expect(readAddresses({ jid: '120363@g.us' })).toMatchObject({
      isGroup: true,
      phone: undefined,
    });
  });

  it('keep a number that WhatsApp has and no numbering plan', () => {
    expect(readAddresses({ jid: '999123456789@s.whatsapp.net' }).phone).toBe('999123456789');
  });

  it('are looked up by Kommo id, JID, LID and the key of the phone, in this order', () => {
    const known = { phone: '5215512345678', lid: '1@lid', jid: 'x', kommoId: 7 };
    expect(identitiesOf(known).map(({ kind, value }) => `${kind} ${value}`)).toEqual([
      'kommo 7',
      'jid x',
      'lid 1@lid',
      'phone 525512345678',
    ]);
  });

  it('begin a chat as WhatsApp said, else by the number, and are found by every spelling', () => {
    const made = ['525512345678@s.whatsapp.net', '5215512345678@s.whatsapp.net'];
    expect(chatJids({ phone: '525512345678' })).toEqual(made);
    const said = readAddresses({ jid: made[1], lid: '1@lid' });
    expect(chatJids(said)).toEqual([made[1], '1@lid', made[0]]);
    expect(chatJids({ phone: '525512345678' }, said)[0]).toBe(made[1]);
  });

  it('are of one line when one of them is the same, but for what Kommo calls the person', () => {
    expect(isSameLine({ phone: '5215512345678' }, { phone: '525512345678', lid: '1@lid' })).toBe(
      true,
    );
    expect(isSameLine({ lid: '1@lid' }, { phone: '525512345678', lid: '1@lid' })).toBe(true);
    expect(isSameLine({ phone: '1', kommoId: 7 }, { phone: '2', kommoId: 7 })).toBe(false);
    expect(isSameLine({}, {})).toBe(false);
  });
});

describe('text of others', () => {
  it('has no NUL, at most so many characters, and is undefined when there is nothing to read', () => {
    expect(storableText('a\0🙂🙂b', 3)).toBe('a🙂🙂');
    for (const nothing of [undefined, null, '', ' \n', '\0']) {
      expect(storableText(nothing, 10)).toBeUndefined();
    }
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), fc.nat(20), (text, charactersMax) => {
        const stored = storableText(text, charactersMax) ?? '';
        expect(stored).not.toContain('\0');
        expect(Array.from(stored).length).toBeLessThanOrEqual(charactersMax);
      }),
    );
  });

  it('has none inside a value either', () => {
    expect(storableJson({ a: 'x\0', b: ['\0y', 1], c: undefined })).toBe('{"a":"x","b":["y",1]}');
  });
});
