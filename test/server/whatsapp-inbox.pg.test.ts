import { randomBytes, randomUUID } from 'node:crypto';
import { beforeAll, describe, expect, test } from 'vitest';
import { createSecretBox } from '../../platform/secret-box.ts';
import { sql } from '../../platform/sql.ts';
import {
  deleteInboxRow,
  failInboxRow,
  insertInbox,
  readInbox,
  type DecryptedStanza,
} from '../../server/commands/whatsapp-inbox.ts';
import { openSessionWorld, type SessionWorld, type Worked } from './whatsapp-session-world.ts';

let world: SessionWorld;
let worked: Worked;
beforeAll(async () => {
  world = await openSessionWorld();
});

const stanzaOf = (id: string, bytes = 20): DecryptedStanza => ({
  key: randomUUID(),
  attrs: { id, from: '99887766554433@lid' },
  plain: randomBytes(bytes),
});
const insert = (stanzas: readonly DecryptedStanza[], of = worked) =>
  world.owner.transaction((tx) => insertInbox(tx, world.box, of.context, stanzas));
const read = (of = worked) => readInbox(world.owner, world.box, of.context);
const idsOf = async (of = worked) => (await read(of)).rows.map(({ attrs }) => attrs['id']);

describe('the inbox of a device', () => {
  test('has what was put into it, in that order, and nothing of another device', async () => {
    [worked] = [await world.device()];
    const other = await world.device();
    const stanzas = Array.from({ length: 9 }, (_, number) => stanzaOf(`S${number}`));
    await insert(stanzas.slice(0, 4));
    await insert([stanzaOf('OTHER')], other);
    await insert(stanzas.slice(4));
    const { rows, dueInMs } = await read();
    expect(rows).toMatchObject(stanzas);
    expect(rows[0]).toMatchObject({ attempts: 0 });
    expect(Math.abs((rows[0]?.createdAtMs ?? 0) - Date.now())).toBeLessThan(600_000);
    expect(dueInMs).toBe(0);
    expect(await idsOf(other)).toEqual(['OTHER']);
  });

  test('has what was put into it again once, as it was the first time', async () => {
    worked = await world.device();
    const stanza = stanzaOf('ONE');
    await insert([stanza]);
    await insert([stanza, stanzaOf('TWO')]);
    expect((await read()).rows[0]?.plain).toEqual(stanza.plain);
    expect(await idsOf()).toEqual(['ONE', 'TWO']);
  });

  test('takes texts that Postgres has no place for', async () => {
    worked = await world.device();
    const stanza = { ...stanzaOf('NUL'), attrs: { id: 'NUL', notify: 'A\0na "\\' } };
    await insert([stanza]);
    expect((await read()).rows[0]?.attrs).toEqual({ id: 'NUL', notify: 'Ana "\\' });
  });

  test('is read fifty rows at a time, and a megabyte after the first', async () => {
    worked = await world.device();
    await insert(Array.from({ length: 60 }, (_, number) => stanzaOf(String(number))));
    expect(await idsOf()).toHaveLength(50);
    worked = await world.device();
    await insert([
      stanzaOf('LARGE', 3 << 20),
      stanzaOf('A', 900_000),
      stanzaOf('B', 900_000),
      stanzaOf('C', 900_000),
    ]);
    expect(await idsOf()).toEqual(['LARGE']);
    const [large] = (await read()).rows;
    await deleteInboxRow(world.owner, worked.context, large?.id ?? 0);
    expect(await idsOf()).toEqual(['A', 'B']);
  });

  test('sealed with another key is not read, and is not lost', async () => {
    worked = await world.device();
    await insert([stanzaOf('ONE')]);
    const other = createSecretBox(randomBytes(32));
    await expect(readInbox(world.owner, other, worked.context)).rejects.toMatchObject({
      code: 'configuration',
    });
    expect(await idsOf()).toEqual(['ONE']);
  });
});

describe('a row of it', () => {
  test('goes once, and never by another account', async () => {
    worked = await world.device();
    await insert([stanzaOf('ONE')]);
    const id = (await read()).rows[0]?.id ?? 0;
    const { accountId, deviceId } = worked.context;
    const remove = (owner: { accountId: number; deviceId: number }) =>
      deleteInboxRow(world.owner, owner, id);
    expect(await remove({ accountId: accountId + 1_000, deviceId })).toBe('gone');
    expect(await remove({ accountId, deviceId })).toBe('deleted');
    expect(await remove({ accountId, deviceId })).toBe('gone');
    expect(await read()).toMatchObject({ rows: [], dueInMs: undefined });
  });

  test('that fails lets the others pass and comes again when it is due; one that is given up never does', async () => {
    worked = await world.device();
    await insert([stanzaOf('ONE'), stanzaOf('TWO')]);
    const [one, two] = (await read()).rows.map(({ id }) => id);
    const fail = (id: number | undefined, retryInMs: number | undefined) =>
      failInboxRow(world.owner, worked.context, id ?? 0, { error: 'x'.repeat(900), retryInMs });
    await fail(one, 3_600_000);
    expect(await idsOf()).toEqual(['TWO']);
    await fail(two, undefined);
    const { rows, dueInMs } = await read();
    expect(rows).toEqual([]);
    expect(dueInMs).toBeGreaterThan(3_000_000);
    expect(dueInMs).toBeLessThanOrEqual(3_600_000);
    await fail(one, 0);
    expect((await read()).rows).toMatchObject([{ attempts: 2, attrs: { id: 'ONE' } }]);
    const kept = await world.owner.query(sql`
      select next_at, length(error) as length from private.whatsapp_inbox
      where device_id = ${worked.context.deviceId} and id = ${two ?? 0}`);
    expect(kept).toEqual([{ next_at: null, length: '500' }]);
  });
});
