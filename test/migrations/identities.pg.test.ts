import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { mergeContacts } from '../../server/commands/merge-contacts.ts';
import { sql } from '../../platform/sql.ts';
import { at, openConversationWorld, type ConversationWorld } from './conversation-world.ts';

let world: ConversationWorld;
let accountId: number;

beforeAll(async () => {
  world = await openConversationWorld();
  accountId = world.ours.accountId;
});

afterAll(() => world.close());

type Known = { jid?: string; lid?: string; phone?: string; kommoId?: number };

let numbers = 0;
const nextNumber = (): string => `519${String(50_000_000 + ++numbers)}`;

const newContact = async ({ jid, lid, phone, kommoId }: Known): Promise<number> => {
  const { id } = await world.one(sql`
    insert into public.contacts (account_id, jid, lid, phone, kommo_id)
    values (${accountId}, ${jid ?? null}, ${lid ?? null}, ${phone ?? null}, ${kommoId ?? null})
    returning id`);
  return Number(id);
};
const remove = (id: number) => world.db.query(sql`delete from public.contacts where id = ${id}`);

/** What resolves to a contact, `kind value`. */
const identities = async (contactId: number): Promise<string[]> => {
  const rows = await world.db.query(sql`
    select kind || ' ' || value as identity
    from public.contact_identities where account_id = ${accountId} and contact_id = ${contactId} order by 1`);
  return rows.map((row) => row['identity'] ?? '');
};

describe('the addresses of a contact', () => {
  it('resolve to it as soon as it is there, the phone by its key', async () => {
    const id = await newContact({
      jid: '5215512345678@s.whatsapp.net',
      lid: '77@lid',
      phone: '5215512345678',
      kommoId: 12,
    });
    expect(await identities(id)).toEqual([
      'jid 5215512345678@s.whatsapp.net',
      'kommo 12',
      'lid 77@lid',
      'phone 525512345678',
    ]);
    expect(await identities(await newContact({}))).toEqual([]);
  });

  it('are replaced when they are corrected, and kept when something else changes', async () => {
    const [old, corrected] = [nextNumber(), nextNumber()];
    const id = await newContact({ phone: old, lid: `${old}@lid` });
    await world.db.query(sql`update public.contacts set phone = ${corrected} where id = ${id}`);
    expect(await identities(id)).toEqual([`lid ${old}@lid`, `phone ${corrected}`]);
    const written = await world.logged(() =>
      world.db.query(sql`update public.contacts set name = 'Other' where id = ${id}`),
    );
    expect(written).toEqual(['contacts: UPDATE']);
    await world.db.query(sql`update public.contacts set lid = null where id = ${id}`);
    expect(await identities(id)).toEqual([`phone ${corrected}`]);
  });

  it('are not written anew when a phone is spelt another way', async () => {
    const id = await newContact({ phone: '5491123456789' });
    const written = await world.logged(() =>
      world.db.query(sql`update public.contacts set phone = '541123456789' where id = ${id}`),
    );
    expect(written).toEqual(['contacts: UPDATE']);
    expect(await identities(id)).toEqual(['phone 541123456789']);
  });

  it('stay with the first contact that has them, and pass to the next when it goes', async () => {
    const phone = nextNumber();
    const lid = `${phone}@lid`;
    const first = await newContact({ phone, lid });
    const second = await newContact({ phone });
    const third = await newContact({ phone, lid });
    expect(await identities(first)).toEqual([`lid ${lid}`, `phone ${phone}`]);
    expect(await identities(second)).toEqual([]);
    await remove(first);
    expect(await identities(second)).toEqual([`phone ${phone}`]);
    expect(await identities(third)).toEqual([`lid ${lid}`]);
    const other = nextNumber();
    await world.db.query(sql`update public.contacts set phone = ${other} where id = ${second}`);
    expect(await identities(second)).toEqual([`phone ${other}`]);
    expect(await identities(third)).toEqual([`lid ${lid}`, `phone ${phone}`]);
  });

  it('pass on whatever kind they are of', async () => {
    const [jid, kommoId] = [`${nextNumber()}@s.whatsapp.net`, 4_711];
    const first = await newContact({});
    await world.db.query(sql`
      insert into public.contact_identities (account_id, contact_id, kind, value)
      values (${accountId}, ${first}, 'jid', ${jid}), (${accountId}, ${first}, 'kommo', ${String(kommoId)})`);
    const second = await newContact({ jid, kommoId });
    expect(await identities(second)).toEqual([]);
    await remove(first);
    expect(await identities(second)).toEqual([`jid ${jid}`, `kommo ${kommoId}`]);
  });

  it('all resolve to the one that several were merged into, and stay when its own change', async () => {
    const [one, two] = [nextNumber(), nextNumber()];
    const winner = await newContact({ phone: one });
    const loser = await newContact({ phone: two, lid: `${two}@lid` });
    await world.db.transaction((tx) =>
      mergeContacts(tx, { accountId, id: winner, contactIds: [loser], sees: () => true }),
    );
    expect(await identities(winner)).toEqual([`lid ${two}@lid`, `phone ${one}`, `phone ${two}`]);
    const next = nextNumber();
    await world.db.query(sql`update public.contacts set phone = ${next} where id = ${winner}`);
    expect(await identities(winner)).toEqual([`lid ${two}@lid`, `phone ${two}`, `phone ${next}`]);
  });

  it('are other addresses in another account', async () => {
    const phone = nextNumber();
    await newContact({ phone });
    const { id } = await world.one(sql`
      insert into public.contacts (account_id, phone) values (${world.theirs.accountId}, ${phone}) returning id`);
    const owners = await world.db.query(sql`
      select contact_id from public.contact_identities
      where account_id = ${world.theirs.accountId} and kind = 'phone' and value = ${phone}`);
    expect(owners).toEqual([{ contact_id: id }]);
  });

  it('are one contact when two are written at once', async () => {
    const phone = nextNumber();
    const ids = await Promise.all(Array.from({ length: 4 }, () => newContact({ phone })));
    const owned = (await Promise.all(ids.map(identities))).filter((list) => list.length > 0);
    expect(owned).toEqual([[`phone ${phone}`]]);
  });

  it('go with their account, though other contacts of it have them too', async () => {
    const { id } = await world.one(sql`
      insert into public.accounts (name, slug) values ('Gone', 'gone') returning id`);
    await world.db.query(sql`
      insert into public.contacts (account_id, phone, lid)
      select ${id}, '51987650000', '5@lid' from generate_series(1, 3)`);
    await world.db.query(sql`delete from public.accounts where id = ${id}`);
    expect(
      await world.db.query(sql`select id from public.contact_identities where account_id = ${id}`),
    ).toEqual([]);
  });
});

describe('what is deleted', () => {
  it('is a device and not what was said through it', async () => {
    const { id } = await world.one(sql`
      insert into public.devices (account_id, name) values (${accountId}, 'Short-lived') returning id`);
    const chat = await world.newChat();
    await world.db.query(sql`update public.chats set device_id = ${id} where id = ${chat}`);
    const [said = 0] = await world.say({ chat, at: at('09:00'), body: 'Kept' });
    const before = await world.chat(chat);
    const written = await world.logged(() =>
      world.db.query(sql`delete from public.devices where id = ${id}`),
    );
    expect(written.filter((change) => change.startsWith('messages:'))).toEqual([]);
    expect(await world.chat(chat)).toMatchObject({
      last_message: 'Kept',
      unread_count: '1',
      device_id: null,
      contact_id: before['contact_id'],
    });
    expect(await world.message(said)).toMatchObject({ body: 'Kept', device_id: id });
  });

  it('is a chat with its messages and not its contact, who is not deleted before it', async () => {
    const chat = await world.newChat();
    const [id = 0] = await world.say({ chat, body: 'Gone' });
    const { contact_id: contactId } = await world.chat(chat);
    await expect(remove(Number(contactId))).rejects.toMatchObject({ code: 'conflict' });
    await world.db.query(sql`delete from public.chats where id = ${chat}`);
    expect(await world.db.query(sql`select id from public.messages where id = ${id}`)).toEqual([]);
    const kept = await world.db.query(sql`select id from public.contacts where id = ${contactId}`);
    expect(kept).toHaveLength(1);
  });
});

describe('a device', () => {
  it('knows the contacts it has chats with, by a name of its own', async () => {
    const chat = await world.newChat();
    const { contact_id: contactId } = await world.chat(chat);
    const known = () =>
      world.db.query(sql`
        select device_id, name from public.contact_device_names where contact_id = ${contactId} order by device_id`);
    const [first, second] = world.ours.deviceIds.map(String);
    expect(await known()).toEqual([{ device_id: first, name: null }]);
    await world.db.query(sql`update public.chats set device_id = ${second} where id = ${chat}`);
    expect((await known()).map((row) => row['device_id'])).toEqual([first, second]);
  });

  it('is one more than the account may have only once, however many come at once', async () => {
    const { accountId: theirs } = world.theirs;
    await world.db.query(sql`update public.accounts set max_devices = 3 where id = ${theirs}`);
    const outcomes = await Promise.allSettled(
      Array.from({ length: 3 }, () =>
        world.db.query(
          sql`insert into public.devices (account_id, name) values (${theirs}, 'One')`,
        ),
      ),
    );
    expect(outcomes.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
  });
});

describe('a file', () => {
  it('is said to be stored by every message that shows it', async () => {
    const chat = await world.newChat();
    const { id: mediaId } = await world.one(sql`
      insert into public.media (account_id, object_key, mimetype)
      values (${accountId}, ${`${accountId}/carried`}, 'image/png') returning id`);
    const [id = 0] = await world.say({ chat, type: 'image', mediaId: Number(mediaId) });
    await world.db.query(sql`
      update public.media set state = 'stored', size = 10, sha256 = ${'0'.repeat(64)} where id = ${mediaId}`);
    expect(JSON.parse((await world.message(id))['media'] ?? '')).toEqual({
      mimetype: 'image/png',
      size: 10,
      state: 'stored',
    });
  });
});
