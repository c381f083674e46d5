import { describe, expect, test } from 'vitest';
import type { contacts } from '../../domain/entities/contacts.ts';
import type { RowOf } from '../../domain/entity.ts';
import { mergeContactRows, mergedValues } from '../../domain/merged-contact.ts';

type Contact = RowOf<typeof contacts>;

function contact(id: number, values: Partial<Contact> = {}): Contact {
  const at = `2026-11-2${id}T10:00:00.000000Z`;
  return {
    id,
    account_id: 1,
    display_name: '',
    is_group: false,
    do_not_contact: false,
    custom_fields: {},
    created_at: at,
    updated_at: at,
    ...values,
  };
}

describe('a merged contact', () => {
  test("keeps the winner's values and fills its gaps from the others in their order", () => {
    const merged = mergeContactRows(contact(1, { email: 'a@example.com', company: ' ' }), [
      contact(2, { email: 'b@example.com', age: 0 }),
      contact(3, { company: 'Third', age: 30, jid: '51999@s.whatsapp.net', kommo_id: 9 }),
    ]);
    expect(merged).toMatchObject({
      id: 1,
      email: 'a@example.com',
      company: 'Third',
      age: 0,
      jid: '51999@s.whatsapp.net',
      kommo_id: 9,
      created_at: '2026-11-21T10:00:00.000000Z',
    });
  });

  test.each([
    [{ name: 'Ana' }, { custom_name: 'Anita', push_name: 'ana88' }, 'Ana'],
    [{ push_name: 'ana88' }, { custom_name: 'Anita', name: 'Ana' }, 'ana88'],
    [{ custom_name: 'Anita' }, { name: 'Ana' }, 'Anita'],
    [{ phone: '51999888777' }, { name: 'Ana', phone: '51999888776' }, 'Ana'],
    [{ name: '  ' }, { custom_name: ' Anita ' }, 'Anita'],
    [{}, { jid: '1@lid' }, '1@lid'],
    [{ name: 'x'.repeat(199) + '👍👍' }, {}, 'x'.repeat(199) + '👍'],
  ])('%o with %o is called %s', (winner, other, called) => {
    expect(mergeContactRows(contact(1, winner), [contact(2, other)]).display_name).toBe(called);
  });

  test('is not to be contacted when one of them was not, with that one’s reason', () => {
    const reason = { do_not_contact_reason: 'asked us', do_not_contact_by: 7 };
    const barred = contact(2, { do_not_contact: true, ...reason });
    const other = contact(3, { do_not_contact: true, do_not_contact_reason: 'later' });
    expect(mergeContactRows(contact(1), [barred, other])).toMatchObject({
      do_not_contact: true,
      ...reason,
    });
    const own = mergeContactRows(contact(1, { do_not_contact: true }), [barred]);
    expect(own.do_not_contact_reason).toBeUndefined();
  });

  test('has the custom fields of all, its own first', () => {
    const merged = mergeContactRows(contact(1, { custom_fields: { a: 1 } }), [
      contact(2, { custom_fields: { a: 2, b: 2 } }),
      contact(3, { custom_fields: { b: 3, c: 3 } }),
    ]);
    expect(merged.custom_fields).toEqual({ a: 1, b: 2, c: 3 });
  });

  test('is written by columns, what is absent as null', () => {
    const values = mergedValues(mergeContactRows(contact(1, { name: 'Ana' }), [contact(2)]));
    expect(values).toMatchObject({ name: 'Ana', phone: null, do_not_contact: false });
    for (const name of ['id', 'display_name', 'is_group', 'created_at'])
      expect(values).not.toHaveProperty(name);
  });
});
