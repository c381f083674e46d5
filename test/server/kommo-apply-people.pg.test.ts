import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { sql } from '../../platform/sql.ts';
import { applyKommoContacts } from '../../server/commands/apply-kommo-contacts.ts';
import { mergeContacts } from '../../server/commands/merge-contacts.ts';
import { receiveMessage } from '../../server/commands/receive-message.ts';
import { resolveContact } from '../../server/commands/resolve-contact.ts';
import { contactDocument, T } from './kommo-apply-documents.ts';
import { openApplyWorld, type ApplyWorld } from './kommo-apply-world.ts';

let world: ApplyWorld;

beforeAll(async () => {
  world = await openApplyWorld();
});

afterAll(() => world.close());

const idOf = async (id: number): Promise<number> => Number((await world.contact(id))['id']);
const withPhone = (phone: string) =>
  world.all(sql`
    select contact_id from public.contact_identities
    where account_id = ${world.accountId} and kind = 'phone' and value = ${phone}`);
const isThere = async (contactId: number) =>
  (await world.all(sql`select from public.contacts where id = ${contactId}`)).length === 1;

describe('one person in Kommo and in WhatsApp', () => {
  it('is one contact when WhatsApp came first, with what each of them knows', async () => {
    const id = world.next();
    const { phone, jid } = world.newNumber();
    const { contactId, chatId } = await world.receive({ jid, fromName: 'Rosi' });
    await world.contacts({ id, name: 'Rosa Quispe', phones: [`+${phone}`] });
    expect(await world.contact(id)).toMatchObject({
      id: String(contactId),
      name: 'Rosa Quispe',
      push_name: 'Rosi',
      jid,
      phone,
      source: 'whatsapp',
    });
    expect((await world.chat(chatId))['contact_id']).toBe(String(contactId));
  });

  it('is one contact when Kommo came first, under any of its numbers', async () => {
    const id = world.next();
    const [first, second] = [world.newNumber(), world.newNumber()];
    await world.contacts({ id, phones: [`+${first.phone}`, `+${second.phone}`] });
    const { contactId } = await world.receive({ jid: second.jid });
    expect(contactId).toBe(await idOf(id));
    expect((await world.receive({ jid: first.jid })).contactId).toBe(contactId);
    expect(await world.contact(id)).toMatchObject({ phone: first.phone });
  });

  it('is one contact whichever way the number is dialled', async () => {
    const id = world.next();
    const { contactId } = await world.receive({ jid: '5215512345678@s.whatsapp.net' });
    await world.contacts({ id, phones: ['+52 55 1234 5678'] });
    expect(await idOf(id)).toBe(contactId);
  });

  it('becomes one contact when the phone comes later, with chats, leads and tags', async () => {
    const id = world.next();
    const { phone, jid } = world.newNumber();
    await world.contacts({ id, name: 'Rosa' });
    const kept = await idOf(id);
    const { contactId, chatId } = await world.receive({ jid, fromName: 'Rosi' });
    expect(contactId).not.toBe(kept);
    await world.contacts({ id, at: T + 1, name: 'Rosa', phones: [`+${phone}`] });
    expect(await idOf(id)).toBe(kept);
    expect(await world.contact(id)).toMatchObject({ name: 'Rosa', push_name: 'Rosi', jid, phone });
    expect(await isThere(contactId)).toBe(false);
    expect((await world.chat(chatId))['contact_id']).toBe(String(kept));
    expect(await world.leadsOf(kept)).toHaveLength(1);
    expect((await world.receive({ jid })).contactId).toBe(kept);
  });

  it.each(['the Kommo contact', 'the other one'])(
    'is not to be contacted when %s was not',
    async (barred) => {
      const id = world.next();
      const { phone, jid } = world.newNumber();
      await world.contacts({ id });
      const { contactId } = await world.receive({ jid });
      const barredId = barred === 'the other one' ? contactId : await idOf(id);
      await world.db.query(sql`
        update public.contacts set do_not_contact = true, do_not_contact_reason = 'asked' where id = ${barredId}`);
      await world.contacts({ id, at: T + 1, phones: [`+${phone}`] });
      expect(await isThere(contactId)).toBe(false);
      expect(await world.contact(id)).toMatchObject({ do_not_contact: 't' });
      await world.contacts({ id, at: T + 2, name: 'Again', phones: [`+${phone}`] });
      expect(await world.contact(id)).toMatchObject({ do_not_contact: 't' });
    },
  );

  it('takes in all whom its numbers lead to, new and known', async () => {
    const id = world.next();
    const [first, second, third] = [world.newNumber(), world.newNumber(), world.newNumber()];
    const one = await world.receive({ jid: first.jid });
    const two = await world.receive({ jid: second.jid });
    await world.contacts({ id, phones: [`+${second.phone}`, `+${first.phone}`] });
    expect(await idOf(id)).toBe(two.contactId);
    expect(await isThere(one.contactId)).toBe(false);
    const three = await world.receive({ jid: third.jid });
    await world.contacts({
      id,
      at: T + 1,
      phones: [`+${second.phone}`, `+${first.phone}`, `+${third.phone}`],
    });
    expect(await isThere(three.contactId)).toBe(false);
    for (const { jid } of [first, second, third])
      expect((await world.receive({ jid })).contactId).toBe(two.contactId);
  });
});

describe('two Kommo contacts of one phone', () => {
  it('stay two, and the phone leads to the first until it gives it up', async () => {
    const [first, second, third] = [world.next(), world.next(), world.next()];
    const { phone } = world.newNumber();
    const phones = [`+${phone}`];
    await world.contacts({ id: first, phones }, { id: second, phones });
    await world.contacts({ id: third, phones });
    const ids = [await idOf(first), await idOf(second), await idOf(third)];
    expect(new Set(ids).size).toBe(3);
    for (const id of [first, second, third])
      expect(await world.contact(id)).toMatchObject({ phone });
    expect(await withPhone(phone)).toEqual([{ contact_id: String(ids[0]) }]);
    await world.contacts({ id: first, at: T + 1 });
    expect(await withPhone(phone)).toEqual([{ contact_id: String(ids[1]) }]);
  });

  it('pass it on within one page, in whichever order they stand there', async () => {
    const [first, second] = [world.next(), world.next()];
    const [main, other] = [world.newNumber().phone, world.newNumber().phone];
    await world.contacts({ id: first, phones: [`+${main}`, `+${other}`] });
    await world.contacts(
      { id: second, phones: [`+${other}`, `+${main}`] },
      { id: first, at: T + 1, phones: [] },
    );
    expect(await world.identities(await idOf(first))).toEqual([`kommo ${first}`]);
    expect(await world.identities(await idOf(second))).toEqual(
      [`kommo ${second}`, `phone ${main}`, `phone ${other}`].toSorted(),
    );
    await world.contacts({ id: second, at: T + 1, phones: [`+${main}`, `+${other}`] });
    expect(await world.contact(second)).toMatchObject({ phone: main });
    expect(await world.identities(await idOf(second))).toHaveLength(3);
  });

  it('of whom WhatsApp knows one: the first of the page is that one', async () => {
    const [first, second] = [world.next(), world.next()];
    const { phone, jid } = world.newNumber();
    const { contactId } = await world.receive({ jid });
    const phones = [`+${phone}`];
    await world.contacts({ id: first, phones }, { id: second, phones });
    expect(await idOf(first)).toBe(contactId);
    expect(await idOf(second)).not.toBe(contactId);
  });
});

describe('a page and a message of the same person at once', () => {
  it('make one contact when the message was first', async () => {
    const id = world.next();
    const { phone, jid } = world.newNumber();
    let page: Promise<unknown> | undefined;
    const received = await world.run(async (tx) => {
      const message = await receiveMessage(tx, world.options({ jid }));
      page = world.contacts({ id, phones: [`+${phone}`] });
      await world.untilOneWaits();
      return message;
    });
    await page;
    expect(await idOf(id)).toBe(received.contactId);
  });

  it('make one contact when the page was first', async () => {
    const id = world.next();
    const { phone, jid } = world.newNumber();
    let message: ReturnType<typeof world.receive> | undefined;
    await world.run(async (tx) => {
      await applyKommoContacts(tx, world.scope, [contactDocument({ id, phones: [`+${phone}`] })]);
      message = world.receive({ jid });
      await world.untilOneWaits();
    });
    expect((await message)?.contactId).toBe(await idOf(id));
  });

  it('make each person once, however many come at once', async () => {
    const people = Array.from({ length: 20 }, () => ({ id: world.next(), ...world.newNumber() }));
    const page = (some: typeof people) =>
      world.contacts(...some.map(({ id, phone }) => ({ id, phones: [`+${phone}`] })));
    await Promise.all([
      page(people.slice(0, 10)),
      ...people.slice(5).map(({ jid }) => world.receive({ jid })),
      page(people.toReversed().slice(0, 10)),
      ...people.map(({ phone }) =>
        world.run((tx) =>
          resolveContact(tx, { accountId: world.accountId, phone, source: 'import' }),
        ),
      ),
    ]);
    const rows = await world.all(sql`
      select phone, count(*) as n from public.contacts
      where account_id = ${world.accountId} and phone = any(${people.map(({ phone }) => phone)}::text[])
      group by phone`);
    expect(rows).toHaveLength(20);
    expect(rows.filter(({ n }) => n !== '1')).toEqual([]);
    for (const { id, phone } of people) expect(await world.contact(id)).toMatchObject({ phone });
  });

  it('survives that the contact it found is merged away while it waits', async () => {
    const id = world.next();
    const { phone, jid } = world.newNumber();
    const { contactId: lost } = await world.receive({ jid });
    const { contactId: kept } = await world.receive({ jid: world.newNumber().jid });
    let page: Promise<unknown> | undefined;
    await world.db.transaction(async (tx) => {
      await mergeContacts(tx, {
        accountId: world.accountId,
        id: kept,
        contactIds: [lost],
        sees: () => true,
      });
      page = world.contacts({ id, phones: [`+${phone}`] });
      await world.untilOneWaits();
    });
    await page;
    expect(await idOf(id)).toBe(kept);
  });
});
