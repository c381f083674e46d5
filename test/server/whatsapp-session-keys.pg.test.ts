import { beforeAll, describe, expect, test } from 'vitest';
import { sql } from '../../platform/sql.ts';
import { eventually } from '../support/services.ts';
import {
  makePreKeys,
  openSessionWorld,
  writerTo,
  type SessionWorld,
} from './whatsapp-session-world.ts';

let world: SessionWorld;
beforeAll(async () => {
  world = await openSessionWorld();
});

describe('credentials', () => {
  test('are written by the transaction of the next keys', async () => {
    const worked = await world.device();
    await makePreKeys(worked, 3);
    const row = await world.sessionRow(worked);
    const keys = await world.keyRows(worked);
    expect(new Set(keys.map((key) => key['xmin']))).toEqual(new Set([row?.['xmin']]));
    expect(keys).toHaveLength(3);
    await worked.session.close();
    await worked.reopen();
    expect(worked.session.auth.creds.nextPreKeyId).toBe(4);
  });

  test('that changed are written soon without any keys, and those that did not are not', async () => {
    const worked = await world.device();
    const before = await world.sessionRow(worked);
    await worked.session.flush();
    expect(await world.sessionRow(worked)).toEqual(before);
    worked.session.merge({ lastPropHash: 'one' });
    worked.session.merge({ platform: 'android' });
    await eventually(async () => (await world.sessionRow(worked))?.['xmin'] !== before?.['xmin'], {
      says: 'the credentials are written',
    });
    await worked.reopen();
    expect(worked.session.auth.creds).toMatchObject({ lastPropHash: 'one', platform: 'android' });
  });
});

describe('keys', () => {
  test('written at once from many sides are the last that were given, in memory and in the database', async () => {
    const worked = await world.device();
    const { keys } = worked.session.auth;
    const sets = Array.from({ length: 60 }, (_, number) =>
      keys.set({
        'lid-mapping': { same: String(number), [`own${number}`]: 'x' },
        tctoken: { [`t${number % 7}`]: number % 2 ? null : { token: Buffer.of(number) } },
      }),
    );
    const reads = Array.from({ length: 60 }, () => keys.get('lid-mapping', ['same', 'none']));
    await Promise.all([...sets, ...reads]);
    const inMemory = [await keys.get('lid-mapping', ['same']), await keys.get('tctoken', TOKENS)];
    expect(inMemory[0]).toEqual({ same: '59' });
    worked.cache.drop(worked.context.deviceId);
    expect([await keys.get('lid-mapping', ['same']), await keys.get('tctoken', TOKENS)]).toEqual(
      inMemory,
    );
    expect(await world.keyRows(worked)).toHaveLength(61 + Object.keys(inMemory[1] ?? {}).length);
  });

  test('by the hundred take as many statements as one', async () => {
    const statements: number[] = [];
    const database = world.connect();
    const counting: typeof database = {
      ...database,
      transaction: async (work, options) => {
        let counted = 0;
        const outcome = await database.transaction(
          (tx) => work({ query: (statement) => (counted++, tx.query(statement)) }),
          options,
        );
        statements.push(counted);
        return outcome;
      },
    };
    const worked = await world.device({ database: counting });
    statements.length = 0;
    await makePreKeys(worked, 1);
    await makePreKeys(worked, 813);
    expect(statements).toEqual([2, 2]);
    expect(await world.keyRows(worked)).toHaveLength(813);
    // Hundreds that are read once each do not push out what is needed all the time.
    expect(worked.cache.stats().entries).toBeLessThan(10);
  });

  test('are the old ones until the new ones are committed, and the new ones from then on', async () => {
    const worked = await world.device();
    const { keys } = worked.session.auth;
    await keys.set({ 'lid-mapping': { ana: 'old' } });
    let isWaiting: unknown;
    let setting: unknown;
    await world.owner.transaction(async (tx) => {
      await tx.query(sql`
        select device_id from private.whatsapp_sessions
        where device_id = ${worked.context.deviceId} for update`);
      setting = keys.set({ 'lid-mapping': { ana: 'new' } });
      isWaiting = await eventually(
        async () =>
          (await world.owner.query(sql`select pid from pg_locks where not granted`)).length > 0,
        { says: 'it waits for its row' },
      );
      expect(await keys.get('lid-mapping', ['ana'])).toEqual({ ana: 'old' });
      worked.cache.drop(worked.context.deviceId);
      expect(await keys.get('lid-mapping', ['ana'])).toEqual({ ana: 'old' });
    });
    expect(isWaiting).toBe(true);
    await setting;
    expect(await keys.get('lid-mapping', ['ana'])).toEqual({ ana: 'new' });
  });

  test('of an id that nobody can have are not asked for', async () => {
    const worked = await world.device();
    const found = await worked.session.auth.keys.get('lid-mapping', ['a\0b', 'x'.repeat(300)]);
    expect(found).toEqual({});
    expect(worked.receiver.ended).toEqual([]);
  });

  test("that were given are nobody else's: changing them changes nothing", async () => {
    const worked = await world.device();
    const { keys } = worked.session.auth;
    const given = ['0', '1'];
    await keys.set({ 'device-list': { ana: given } });
    given.push('2');
    const { ana: first } = await keys.get('device-list', ['ana']);
    first?.push('3');
    expect(await keys.get('device-list', ['ana'])).toEqual({ ana: ['0', '1'] });
  });
});

const TOKENS = Array.from({ length: 7 }, (_, number) => `t${number}`);

test('[A11] nothing private is in the tables in clear', async () => {
  const worked = await world.device();
  const ana = await writerTo(worked, { preKeyId: 5 });
  const { creds, keys } = worked.session.auth;
  const preKeys = await keys.get('pre-key', ['1', '2', '3', '4', '5']);
  await worked.receiver.receive(await ana.says('a message that nobody may see', 'SECRET'));
  const { [`${ana.lid.split('@')[0]}_1.0`]: ratchet } = await keys.get('session', [
    `${ana.lid.split('@')[0]}_1.0`,
  ]);
  await keys.set({ 'sender-key': { group: Buffer.from('a sender key that nobody may see') } });
  expect(ratchet).toBeDefined();
  const secrets = [
    creds.noiseKey.private,
    creds.signedIdentityKey.private,
    creds.pairingEphemeralKeyPair.private,
    creds.signedPreKey.keyPair.private,
    Buffer.from(creds.advSecretKey, 'base64'),
    ...Object.values(preKeys).map((pair) => pair.private),
    ...base64Of(JSON.stringify(ratchet)),
    Buffer.from('nobody may see'),
  ];
  expect(secrets.length).toBeGreaterThan(14);
  const stored = await world.owner.query(sql`
    select row_to_json(session)::text || coalesce((
        select string_agg(row_to_json(key)::text, '') from private.whatsapp_keys as key
        where key.device_id = session.device_id), '') || coalesce((
        select string_agg(row_to_json(inbox)::text, '') from private.whatsapp_inbox as inbox
        where inbox.device_id = session.device_id), '') as text
    from private.whatsapp_sessions as session
    where device_id = ${worked.context.deviceId}`);
  const text = stored[0]?.['text'] ?? '';
  expect(text).toContain('SECRET');
  for (const secret of secrets.map((bytes) => Buffer.from(bytes)))
    for (const shape of [
      secret.toString('hex'),
      Buffer.from(secret.toString('base64')).toString('hex'),
      secret.toString('base64'),
    ])
      expect(text.includes(shape)).toBe(false);
});

/** The keys in a serialised ratchet. */
function base64Of(text: string): Buffer[] {
  return [...text.matchAll(/"([A-Za-z0-9+/]{43}=)"/g)].map((match) =>
    Buffer.from(match[1] ?? '', 'base64'),
  );
}
