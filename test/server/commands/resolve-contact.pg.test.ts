import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { sql } from '../../../platform/sql.ts';
import { resolveContact } from '../../../server/commands/resolve-contact.ts';
import { openCommandWorld, type CommandWorld } from './command-world.ts';

let world: CommandWorld;

beforeAll(async () => {
  world = await openCommandWorld();
});

afterAll(() => world.close());

type Known = Partial<Parameters<typeof resolveContact>[1]>;

const resolve = (known: Known) =>
  world.run((tx) => resolveContact(tx, { accountId: world.accountId, source: 'kommo', ...known }));
const countOf = async (known: Known) =>
  (
    await world.counted((tx) =>
      resolveContact(tx, { accountId: world.accountId, source: 'kommo', ...known }),
    )
  ).statements;
const contactOf = (id: number) =>
  world.one(sql`
    select jid, lid, phone, kommo_id, name, push_name from public.contacts where id = ${id}`);
const identitiesOf = async (id: number) =>
  (
    await world.all(sql`
      select kind || ' ' || value as identity from public.contact_identities where contact_id = ${id} order by 1`)
  ).map((row) => row['identity']);

describe('a contact', () => {
  it('is found by each of its addresses, and by any spelling of its number', async () => {
    const jid = '5491134567890@s.whatsapp.net';
    const { id, created } = await resolve({ jid, lid: '31@lid', kommoId: 31, name: 'Ana' });
    expect(created).toBe(true);
    expect(await contactOf(id)).toMatchObject({
      jid,
      lid: '31@lid',
      phone: '5491134567890',
      kommo_id: '31',
      name: 'Ana',
    });
    const known: Known[] = [
      { jid },
      { jid: '5491134567890:12@s.whatsapp.net' },
      { jid: '31@lid' },
      { lid: '31@lid' },
      { kommoId: 31 },
      { phone: '541134567890' },
    ];
    const written = await world.logged(async () => {
      for (const one of known)
        expect(await resolve(one)).toEqual({ id, created: false, others: [] });
    });
    expect(written).toEqual([]);
    for (const one of known) expect(await countOf(one)).toBe(1);
    expect(await resolve({ jid: '541134567890@s.whatsapp.net' })).toMatchObject({
      id,
      created: false,
    });
  });

  it('gains the addresses it lacks, and keeps those it has', async () => {
    const { phone, jid } = world.newNumber();
    const { id } = await resolve({ kommoId: 77, phone });
    await resolve({ jid, lid: '78@lid' });
    expect(await contactOf(id)).toMatchObject({ jid, lid: '78@lid', phone, kommo_id: '77' });
    const second = world.newNumber();
    await resolve({ kommoId: 77, phone: second.phone });
    expect((await contactOf(id))['phone']).toBe(phone);
    expect(await identitiesOf(id)).toEqual([
      `jid ${jid}`,
      'kommo 77',
      'lid 78@lid',
      `phone ${phone}`,
      `phone ${second.phone}`,
    ]);
    expect((await resolve({ jid: second.jid })).id).toBe(id);
  });

  it("is Kommo's before WhatsApp's when the addresses are of two, and names the other", async () => {
    const { phone, jid } = world.newNumber();
    const { id: theirs } = await resolve({ kommoId: 91 });
    const { id: ours } = await resolve({ jid });
    expect(await resolve({ kommoId: 91, phone })).toEqual({
      id: theirs,
      created: false,
      others: [ours],
    });
    expect((await contactOf(theirs))['phone']).toBeNull();
  });

  it('keeps what its owner calls themselves, and no name of nothing', async () => {
    const { jid } = world.newNumber();
    const { id } = await resolve({ jid, pushName: 'Ana' });
    await resolve({ jid, pushName: 'Anita', name: 'Not a new contact' });
    await resolve({ jid, pushName: ' ' });
    expect(await contactOf(id)).toMatchObject({ push_name: 'Anita', name: null });
  });

  it('is made once, however many come at once with whichever part of its addresses', async () => {
    const { phone, jid } = world.newNumber();
    const lid = `${phone}7@lid`;
    const parts: Known[] = [
      { jid },
      { phone },
      { jid, lid },
      { phone, kommoId: 1234 },
      { jid },
      { phone },
    ];
    const resolved = await Promise.all(parts.map(resolve));
    expect(new Set(resolved.map(({ id }) => id)).size).toBe(1);
    expect(resolved.filter(({ created }) => created)).toHaveLength(1);
    expect(await contactOf(resolved[0]?.id ?? 0)).toMatchObject({
      jid,
      lid,
      phone,
      kommo_id: '1234',
    });
  });

  it('is waited for by whoever would make it too, though nothing but its number is known', async () => {
    const { phone } = world.newNumber();
    let second: ReturnType<typeof resolve> | undefined;
    const first = await world.run(async (tx) => {
      const made = await resolveContact(tx, {
        accountId: world.accountId,
        source: 'import',
        phone,
      });
      second = resolve({ phone });
      await world.untilOneWaits();
      return made;
    });
    expect(await second).toEqual({ id: first.id, created: false, others: [] });
  });

  it('is made once when somebody who knows no lock inserts it at the same time', async () => {
    const { jid } = world.newNumber();
    let resolving: ReturnType<typeof resolve> | undefined;
    const { id } = await world.run(async (tx) => {
      const made = await world.one(
        sql`insert into public.contacts (account_id, jid) values (${world.accountId}, ${jid}) returning id`,
        tx,
      );
      resolving = resolve({ jid });
      await world.untilOneWaits();
      return made;
    });
    expect(await resolving).toMatchObject({ id: Number(id), created: false });
  });

  it('takes in the contact of whom only the LID was known, and no other', async () => {
    const { phone, jid } = world.newNumber();
    const lid = `${phone}8@lid`;
    const { id: byLid } = await resolve({ lid });
    const { id: byPhone } = await resolve({ phone, name: 'Known' });
    expect(await resolve({ jid, lid })).toEqual({ id: byPhone, created: false, others: [] });
    expect(await world.all(sql`select id from public.contacts where id = ${byLid}`)).toEqual([]);
    expect(await contactOf(byPhone)).toMatchObject({ jid, lid, phone, name: 'Known' });
    const other = world.newNumber();
    const { id: whole } = await resolve({ jid: other.jid });
    expect(await resolve({ jid: other.jid, lid })).toEqual({
      id: whole,
      created: false,
      others: [byPhone],
    });
  });

  it('is one of the account', async () => {
    const { phone } = world.newNumber();
    const { id } = await resolve({ phone });
    const theirs = await resolve({ phone, accountId: world.theirs.accountId });
    expect(theirs.created).toBe(true);
    expect(theirs.id).not.toBe(id);
  });

  it('is none without an address, nor with one of nobody', async () => {
    await expect(resolve({})).rejects.toMatchObject({ code: 'internal' });
    await expect(resolve({ jid: '0@s.whatsapp.net' })).rejects.toMatchObject({
      code: 'unprocessable',
    });
    await expect(resolve({ lid: '51987654321@s.whatsapp.net' })).rejects.toMatchObject({
      code: 'unprocessable',
    });
  });
});
