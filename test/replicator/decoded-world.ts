import type pg from 'pg';
import { createTestDatabase } from '../support/services.ts';
import { connect, createSlotBy, one, tail, type Tail } from './support.ts';

/** A database whose stream is decoded into memory, and the writers that the decoding tests share. */
export type DecodedWorld = {
  readonly url: string;
  readonly client: pg.Client;
  readonly decoded: Tail;
  /** With its defaults; everything so far is behind it in the stream. */
  createAccount(): Promise<number>;
  createTag(account: number, name: string): Promise<number>;
  /** With a contact of its own. */
  createLead(account: number, title: string): Promise<{ id: number; contact: number }>;
  /** Writes a logical message. */
  emit(prefix: string, content: unknown, isTransactional?: boolean): Promise<void>;
  close(): Promise<void>;
};

export async function openDecodedWorld(): Promise<DecodedWorld> {
  const database = await createTestDatabase();
  const client = await connect(database.ownerUrl);
  await createSlotBy(client, database.name);
  const decoded = tail({ url: database.replicationUrl, slot: database.name });
  await decoded.stream.started;
  let slugs = 0;
  const insert = async (text: string, values: unknown[]): Promise<number> =>
    Number((await one(client, `${text} returning id`, values))['id']);
  return {
    url: database.ownerUrl,
    client,
    decoded,
    createAccount: async () => {
      const id = await insert(`insert into accounts (name, slug) values ('Acme', $1)`, [
        `a${++slugs}`,
      ]);
      await client.query('select clarin.seed_account_defaults($1)', [id]);
      await decoded.settle(client);
      return id;
    },
    createTag: (account, name) =>
      insert('insert into tags (account_id, name) values ($1, $2)', [account, name]),
    createLead: async (account, title) => {
      const contact = await insert('insert into contacts (account_id, name) values ($1, $2)', [
        account,
        title,
      ]);
      const id = await insert(
        'insert into leads (account_id, contact_id, title) values ($1, $2, $3)',
        [account, contact, title],
      );
      return { id, contact };
    },
    emit: async (prefix, content, isTransactional = true) => {
      const text = typeof content === 'string' ? content : JSON.stringify(content);
      await client.query('select pg_logical_emit_message($1::boolean, $2::text, $3::text)', [
        isTransactional,
        prefix,
        text,
      ]);
    },
    close: async () => {
      await decoded.stream.stop();
      await client.end();
      await database.drop();
    },
  };
}
