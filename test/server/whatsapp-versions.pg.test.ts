import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import { sql } from '../../platform/sql.ts';
import {
  addVersion,
  admitConnection,
  noteProvenVersion,
  noteRefusedVersion,
} from '../../server/commands/whatsapp-versions.ts';
import { createLog } from '../../platform/log.ts';
import { createMetrics } from '../../platform/metrics.ts';
import { notifyWhatsapp } from '../../platform/whatsapp-notes.ts';
import { systemClock } from '../../server/ingest/clock.ts';
import { OWN_VERSION } from '../../server/ingest/whatsapp/open-socket.ts';
import { VersionBreaker } from '../../server/ingest/whatsapp/version-breaker.ts';
import { eventually } from '../support/services.ts';
import { openDeviceWorld, type DeviceWorld } from './whatsapp-device-world.ts';

let world: DeviceWorld;
const OWN = '2.3000.100';

beforeAll(async () => {
  world = await openDeviceWorld();
});
afterEach(() => world.reset());

const admit = () => admitConnection(world.owner, OWN);
const proven = (version: string, sinceMs = 0) =>
  world.owner
    .transaction((tx) => noteProvenVersion(tx, { version, sinceMs }))
    .then(({ value }) => value);
const add = (version: string) =>
  world.owner.transaction((tx) => addVersion(tx, version)).then(({ value }) => value);

/** Ids of `count` devices, which have leases as those that somebody works for. */
async function devices(count: number): Promise<number[]> {
  const { accountId } = await world.device();
  const rows = await world.owner.query(sql`
    insert into public.devices (account_id, name)
    select ${accountId}, 'Device of versions ' || number from generate_series(1, ${count}::int) as number
    returning id`);
  for (const { id } of rows)
    await world.owner.query(sql`
      insert into private.ingest_leases (resource, fence) values ('whatsapp:' || ${id}, 1)`);
  return rows.map(({ id }) => Number(id));
}
const refuse = (deviceId: number, version = OWN) =>
  world.owner
    .transaction((tx) => noteRefusedVersion(tx, { deviceId, version }))
    .then(({ value }) => value);
const passes = (minutes: number) =>
  world.owner.query(sql`
    update private.whatsapp_breaker set probe_at = probe_at - make_interval(mins => ${minutes})`);

describe('the version of the client', () => {
  it("is Baileys' own, or one that works and is higher, compared as numbers", async () => {
    expect(await admit()).toEqual({ kind: 'go', version: OWN, isProbe: false });
    await proven('2.3000.99');
    await proven('2.2999.100000');
    expect(await admit()).toMatchObject({ version: OWN });
    await proven('2.3000.1000');
    expect(await admit()).toMatchObject({ version: '2.3000.1000' });
    // Added, and nobody knows whether it works.
    expect(await add('2.3000.2000')).toBe(true);
    expect(await admit()).toMatchObject({ version: '2.3000.1000' });
  });

  it('is not in doubt for two devices of many, nor for three within more than five minutes', async () => {
    const [one = 0, two = 0, three = 0] = await devices(5);
    expect([await refuse(one), await refuse(one), await refuse(two)]).toEqual([
      false,
      false,
      false,
    ]);
    await world.owner.query(
      sql`update private.whatsapp_refusals set refused_at = now() - interval '6 minutes' where device_id = ${one}`,
    );
    expect(await refuse(three)).toBe(false);
    expect(await admit()).toEqual({ kind: 'go', version: OWN, isProbe: false });
  });

  it('that three are refused with stops all, and one every five minutes tries the next candidate', async () => {
    const [one = 0, two = 0, three = 0] = await devices(5);
    await add('2.3000.90');
    await proven('2.3000.80');
    await refuse(one);
    await refuse(two);
    expect(await refuse(three)).toBe(true);
    // An incident is one.
    expect(await refuse(one)).toBe(false);
    expect(await admit()).toMatchObject({ kind: 'wait' });
    const tried: string[] = [];
    for (let probe = 0; probe < 4; probe++) {
      await passes(5);
      const admission = await admit();
      if (admission.kind !== 'go') throw new Error('nobody may try');
      expect(admission.isProbe).toBe(true);
      expect(await admit()).toMatchObject({ kind: 'wait' });
      tried.push(admission.version);
      await refuse(two, admission.version);
    }
    // Those never refused, the highest first; then what was refused longest ago.
    expect(tried).toEqual(['2.3000.90', '2.3000.80', OWN, '2.3000.90']);
  });

  it('that is let in is for all, but not by who was let in before the others were refused', async () => {
    const [one = 0, two = 0, three = 0] = await devices(3);
    for (const id of [one, two, three]) await refuse(id);
    expect(await proven(OWN, 60_000)).toBe(false);
    expect(await admit()).toMatchObject({ kind: 'wait' });
    expect(await add('2.3000.50')).toBe(true);
    // Not in five minutes: nobody has tried it yet.
    expect(await admit()).toMatchObject({ kind: 'go', version: '2.3000.50', isProbe: true });
    expect(await proven('2.3000.50')).toBe(true);
    expect(await admit()).toEqual({ kind: 'go', version: '2.3000.50', isProbe: false });
  });

  it('is asked for by many at once, and none is told that it may not connect', async () => {
    const log = createLog({ component: 'whatsapp', level: 'silent' });
    const means = {
      database: world.owner,
      clock: systemClock,
      log,
      metrics: createMetrics('test'),
    };
    const breaker = new VersionBreaker(means, OWN);
    const { signal } = new AbortController();
    const told: number[] = [];
    const admitted = await Promise.all(
      Array.from({ length: 20 }, () => breaker.admit(signal, async (at) => void told.push(at))),
    );
    for (const admission of admitted)
      expect(admission).toMatchObject({ version: OWN, isProbe: false });
    expect(told).toEqual([]);
    // While nobody may, it is known when the next one does.
    for (const id of await devices(3)) await refuse(id);
    const ending = new AbortController();
    const waiting = [1, 2, 3].map(() =>
      breaker.admit(ending.signal, async (at) => void told.push(at)),
    );
    const ended = Promise.allSettled(waiting);
    await eventually(() => told.length === 3, { says: 'all are told' });
    for (const at of told) expect(at).toBeGreaterThan(Date.now());
    ending.abort(new Error('over'));
    await ended;
  });

  it('of a device alone is tried on, although there are not three', async () => {
    const [one = 0] = await devices(1);
    await world.owner.query(
      sql`delete from private.ingest_leases where resource <> 'whatsapp:' || ${one}`,
    );
    expect(await refuse(one)).toBe(true);
  });
});

describe('devices whose version is refused', () => {
  it('wait, those that are open stay, and all connect when one of them is let in', async () => {
    const worker = world.worker();
    const open = await world.device({ isLinked: true, worker });
    await open.becomes({ status: 'connected' });
    const refusal = world.fake.world.faults.add({ does: { kind: 'failure', reason: 405 } });
    const refused = await Promise.all(
      [1, 2, 3, 4].map(() => world.device({ isLinked: true, worker })),
    );
    for (const device of refused)
      await device.becomes({ status: 'connecting', status_code: 'client_outdated' });
    await eventually(async () => {
      const [breaker] = await world.owner.query(
        sql`select opened_at is not null as is_open from private.whatsapp_breaker`,
      );
      return breaker?.['is_open'] === 't';
    });
    const { opened } = world.fake.world.connections.counts();
    expect(await open.row()).toMatchObject({ status: 'connected' });
    world.fake.world.faults.remove(refusal.id);
    await world.owner.transaction(async (tx) => {
      await addVersion(tx, '2.3000.2000000000');
      await notifyWhatsapp(tx, { kind: 'version' });
    });
    for (const device of refused) await device.becomes({ status: 'connected', status_code: null });
    expect(open.logins()).toBe(1);
    // Nobody has knocked in between but the one that was let in first.
    expect(world.fake.world.connections.counts().opened).toBe(opened + refused.length);
    const [known] = await world.owner.query(sql`
      select proven_at is not null as is_proven from private.whatsapp_versions where version = '2.3000.2000000000'`);
    expect(known).toEqual({ is_proven: 't' });
    expect(OWN_VERSION).toMatch(/^\d+\.\d+\.\d+$/);
  });
});
