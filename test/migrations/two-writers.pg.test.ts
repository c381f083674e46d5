import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Queries } from '../../platform/postgres.ts';
import { sql, type Sql } from '../../platform/sql.ts';
import { at, openConversationWorld, type ConversationWorld } from './conversation-world.ts';

let world: ConversationWorld;
let accountId: number;

beforeAll(async () => {
  world = await openConversationWorld();
  accountId = world.ours.accountId;
});

afterAll(() => world.close());

let numbers = 0;
const nextNumber = (): string => `519${String(70_000_000 + ++numbers)}`;

const newContact = async (phone: string, on?: Queries): Promise<number> => {
  const { id } = await world.one(
    sql`insert into public.contacts (account_id, phone) values (${accountId}, ${phone}) returning id`,
    on,
  );
  return Number(id);
};

/** The second statement waits for the transaction of the first one. */
async function overtaken(first: (tx: Queries) => Promise<unknown>, second: Sql): Promise<void> {
  const { value } = await world.db.transaction(async (tx) => {
    await first(tx);
    const behind = world.db.query(second);
    behind.catch(() => undefined);
    await world.untilOneWaits();
    return { ends: () => behind };
  });
  await value.ends();
}

/** The contact that a phone resolves to. */
const ownerOf = async (phone: string): Promise<number | undefined> => {
  const [row] = await world.db.query(sql`
    select contact_id from public.contact_identities
    where account_id = ${accountId} and kind = 'phone' and value = ${phone}`);
  return row && Number(row['contact_id']);
};

describe('an address that is given up while somebody else takes it', () => {
  it('resolves to the new contact when it is corrected', async () => {
    const [phone, other] = [nextNumber(), nextNumber()];
    const first = await newContact(phone);
    let second = 0;
    await overtaken(
      async (tx) => (second = await newContact(phone, tx)),
      sql`update public.contacts set phone = ${other} where id = ${first}`,
    );
    expect(await ownerOf(phone)).toBe(second);
    expect(await ownerOf(other)).toBe(first);
  });

  it('resolves to the new contact when the old one is deleted', async () => {
    const phone = nextNumber();
    const first = await newContact(phone);
    let second = 0;
    await overtaken(
      async (tx) => (second = await newContact(phone, tx)),
      sql`delete from public.contacts where id = ${first}`,
    );
    expect(await ownerOf(phone)).toBe(second);
  });

  it('resolves to the next contact also while that one is changed, or only held', async () => {
    for (const hold of [
      (id: number) =>
        sql`update public.contacts set kommo_id = ${id} where id = ${id} returning id`,
      (id: number) => sql`select id from public.contacts where id = ${id} for update`,
    ]) {
      const phone = nextNumber();
      const first = await newContact(phone);
      const second = await newContact(phone);
      await overtaken(
        (tx) => tx.query(hold(second)),
        sql`delete from public.contacts where id = ${first}`,
      );
      expect(await ownerOf(phone)).toBe(second);
    }
  });

  it('does not resolve to one that gives it up too', async () => {
    const [phone, other] = [nextNumber(), nextNumber()];
    const first = await newContact(phone);
    const second = await newContact(phone);
    await overtaken(
      (tx) => tx.query(sql`delete from public.contacts where id = ${first}`),
      sql`update public.contacts set phone = ${other} where id = ${second}`,
    );
    expect(await ownerOf(phone)).toBeUndefined();
    expect(await ownerOf(other)).toBe(second);
  });
});

describe('what is unread can be read', () => {
  const unread = async (id: number) => {
    const { unread_count: count, inbound_at: inboundAt } = await world.chat(id);
    return { count, inboundAt };
  };

  it('when it was moved here from another chat, or to another time', async () => {
    const [from, to] = [await world.newChat(), await world.newChat()];
    const [id] = await world.say({ chat: from, at: at('09:30'), body: 'Moved' });
    await world.db.query(sql`update public.messages set chat_id = ${to} where id = ${id}`);
    expect(await unread(to)).toEqual({ count: '1', inboundAt: '09:30' });
    await world.db.query(sql`update public.messages set sent_at = ${at('10:00')} where id = ${id}`);
    expect(await unread(to)).toEqual({ count: '1', inboundAt: '10:00' });
  });

  it('and a notice of WhatsApp never is', async () => {
    const chat = await world.newChat();
    await world.db.query(sql`
      insert into public.messages (account_id, chat_id, message_type, body)
      values (${accountId}, ${chat}, 'system', 'A notice')`);
    expect(await unread(chat)).toEqual({ count: '0', inboundAt: null });
  });
});

describe('an account', () => {
  const defaultStage = async () =>
    Number(
      (await world.one(sql`select default_stage_id from public.accounts where id = ${accountId}`))[
        'default_stage_id'
      ],
    );

  it('keeps a default stage when that one is deleted, alone or with its pipeline', async () => {
    const before = await defaultStage();
    const pipeline = await world.newPipeline();
    const { id: next } = await world.one(sql`
      insert into public.pipeline_stages (account_id, pipeline_id, name)
      values (${accountId}, ${pipeline.id}, 'Second') returning id`);
    await world.db.query(
      sql`update public.accounts set default_stage_id = ${pipeline.active} where id = ${accountId}`,
    );
    // What deletes stages need not be allowed to change the account.
    await world.db.transaction(async (tx) => {
      await tx.query(sql`set local role clarin_ingest`);
      await tx.query(sql`delete from public.pipeline_stages where id = ${pipeline.active}`);
    });
    expect(await defaultStage()).toBe(Number(next));
    await world.db.query(sql`delete from public.pipelines where id = ${pipeline.id}`);
    expect(await defaultStage()).toBe(before);
  });

  it('has the default pipeline that was named last, when two are at once', async () => {
    const [one, two] = [await world.newPipeline(), await world.newPipeline()];
    const makeDefault = ({ id }: { id: number }) =>
      sql`update public.pipelines set is_default = true where id = ${id}`;
    await overtaken((tx) => tx.query(makeDefault(one)), makeDefault(two));
    const rows = await world.db.query(
      sql`select id from public.pipelines where account_id = ${accountId} and is_default`,
    );
    expect(rows).toEqual([{ id: String(two.id) }]);
  });

  it('gets a pipeline at its end from whoever may make pipelines and not change accounts', async () => {
    const { value } = await world.db.transaction(async (tx) => {
      await tx.query(sql`set local role clarin_ingest`);
      return tx.query(sql`
        insert into public.pipelines (account_id, name) values (${accountId}, 'Of Kommo') returning position`);
    });
    expect(Number(value[0]?.['position'])).toBeGreaterThan(0);
  });
});
