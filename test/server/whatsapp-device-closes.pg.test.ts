import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { FaultInput } from '../../fakes/whatsapp/faults.ts';
import { sayingOf, type DeviceCode } from '../../domain/device-status.ts';
import { sql } from '../../platform/sql.ts';
import { eventually } from '../support/services.ts';
import { openDeviceWorld, type DeviceWorld, type TestDevice } from './whatsapp-device-world.ts';

let world: DeviceWorld;

beforeAll(async () => {
  world = await openDeviceWorld();
});
afterEach(() => world.reset());

const fault = (device: TestDevice, does: FaultInput['does'], times?: number) =>
  world.fake.world.faults.add({
    ...(device.linked && { device: device.linked.jid }),
    ...(times !== undefined && { times }),
    does,
  });

/** Codes that the row has had, oldest first. */
async function watchCodes(device: TestDevice): Promise<() => string[]> {
  const seen: string[] = [];
  const stopping = new AbortController();
  const watch = async (): Promise<void> => {
    while (!stopping.signal.aborted) {
      const { status, status_code: code } = await device.row();
      const now = code ? `${status} ${code}` : String(status);
      if (seen.at(-1) !== now) seen.push(now);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  };
  const done = watch();
  return () => {
    stopping.abort();
    void done;
    return seen;
  };
}

type Does = FaultInput['does'];

describe('a device whose socket ends', () => {
  it.each<[what: string, does: Does, code: string]>([
    ['xmlstreamend', { kind: 'xmlstreamend', when: 'open' }, '428'],
    ['a reset of the connection', { kind: 'reset', when: 'open' }, '428'],
    ['503 at the login', { kind: 'failure', reason: 503, when: 'login' }, '503'],
    ['503 of the stream', { kind: 'stream-error', code: 503, when: 'open' }, '503'],
    ['an error nobody knows', { kind: 'stream-error', when: 'open' }, '500'],
    ['a failure without a reason', { kind: 'failure', when: 'login' }, '500'],
    ['515', { kind: 'stream-error', code: 515, when: 'open' }, '515'],
    ['a takeover', { kind: 'stream-error', conflict: 'replaced', when: 'open' }, '440'],
    ['a number nobody knows', { kind: 'failure', reason: 499, when: 'login' }, '499'],
  ])('by %s comes back by itself, once', async (_, does, code) => {
    const device = await world.device({ isLinked: true });
    fault(device, does, 1);
    await eventually(
      async () => {
        const metric = await device.worker.metrics.registry
          .getSingleMetric('clarin_whatsapp_closes_total')
          ?.get();
        return metric?.values.some(({ labels, value }) => labels['code'] === code && value === 1);
      },
      { says: `it ends by ${code}`, timeoutMs: 30_000 },
    );
    await device.becomes({ status: 'connected', status_code: null, retry_at: null });
    const failedLogins = 'when' in does && does.when === 'login' ? 0 : 1;
    expect(device.logins()).toBe(1 + failedLogins);
    expect(await device.hasSession()).toBe(true);
  });

  it.each<[what: string, does: Does, code: DeviceCode, keeps: boolean]>([
    ['401', { kind: 'failure', reason: 401, when: 'login' }, 'logged_out_by_phone', false],
    [
      'its removal on the phone',
      { kind: 'stream-error', code: 401, conflict: 'device_removed', when: 'open' },
      'logged_out_by_phone',
      false,
    ],
    ['411', { kind: 'downgrade', when: 'open' }, 'multi_device_mismatch', false],
    ['403', { kind: 'failure', reason: 403, when: 'login' }, 'banned', true],
  ])('by %s is given up, at once and for good', async (_, does, code, keeps) => {
    const device = await world.device({ isLinked: true });
    fault(device, does);
    const { status, says } = sayingOf(code);
    const row = await device.becomes({ status, status_code: code, status_reason: says });
    expect(row['wanted']).toBe('connected');
    expect(await device.hasSession()).toBe(keeps);
    expect(row['is_to_come']).toBe(code === 'banned' ? 't' : null);
    if (code !== 'banned') return;
    // Not even when people ask.
    const { opened } = world.fake.world.connections.counts();
    await device.wants('connected');
    await device.wants('disconnected');
    await device.wants('connected');
    expect((await device.row())['status']).toBe('banned');
    expect(world.fake.world.connections.counts().opened).toBe(opened);
    // Until its time has come.
    world.fake.world.faults.clear();
    await world.owner.query(
      sql`update public.devices set retry_at = now() - interval '1 second' where id = ${device.deviceId}`,
    );
    await device.becomes({ status: 'connected', status_code: null, retry_at: null });
  });

  it('again and again by a takeover is in conflict, and is tried anew when somebody asks', async () => {
    const device = await world.device({ isLinked: true });
    const struck = fault(device, { kind: 'stream-error', conflict: 'replaced', when: 'open' });
    const codes = await watchCodes(device);
    await device.becomes({ status: 'disconnected', status_code: 'conflict' });
    expect(device.logins()).toBe(6);
    expect(codes()).toContain('connecting replaced');
    world.fake.world.faults.remove(struck.id);
    expect(await device.hasSession()).toBe(true);
    await device.wants('connected');
    await device.becomes({ status: 'connected', status_code: null });
    expect(device.logins()).toBe(7);
  });

  it('five times right after its login has a bad session, whose keys stay', async () => {
    const device = await world.device({ isLinked: true });
    fault(device, { kind: 'stream-error', when: 'open' });
    await device.becomes({ status: 'disconnected', status_code: 'bad_session' });
    expect(device.logins()).toBe(5);
    expect(await device.hasSession()).toBe(true);
  });

  it('before it could begin, by HTTP of whatever number, is neither banned nor logged out', async () => {
    for (const status of [401, 403, 405, 429, 503]) {
      const device = await world.device({ isLinked: true });
      const struck = world.fake.world.faults.add({ does: { kind: 'upgrade-status', status } });
      await device.becomes({ status: 'connecting', status_code: 'refused' });
      world.fake.world.faults.remove(struck.id);
      await device.becomes({ status: 'connected', status_code: null });
      await device.worker.stop();
    }
  });

  it.each<Does>([{ kind: 'upgrade-silence' }, { kind: 'handshake-silence' }])(
    'by nothing at all is found by its watchdog: $kind',
    async (does) => {
      const worker = world.worker({ connectTimeoutMs: 60_000 });
      world.fake.world.faults.add({ does, times: 1 });
      const device = await world.device({ isLinked: true, worker });
      await device.becomes({ status: 'connecting', status_code: 'no_answer' });
      await device.becomes({ status: 'connected' });
    },
  );

  it('by a silence in which nothing comes any more is found by its keepalive', async () => {
    const worker = world.worker({ keepAliveIntervalMs: 100 });
    const device = await world.device({ isLinked: true, worker });
    await device.becomes({ status: 'connected' });
    world.fake.world.connections.find(device.linked!)!.isSilent = true;
    await device.becomes({ status: 'connecting' });
    await device.becomes({ status: 'connected' });
  });

  it('because of a fault of ours stops, says so to operators, and is tried again later', async () => {
    const device = await world.device({ isLinked: true, worker: 'none' });
    await world.owner.query(sql`
      update private.whatsapp_sessions set creds = set_byte(creds, 40, get_byte(creds, 40) # 1)
      where device_id = ${device.deviceId}`);
    const worker = world.worker();
    await worker.hold(device.deviceId);
    const row = await device.becomes({ status: 'disconnected', status_code: 'fault' });
    expect(row['is_to_come']).toBe('t');
    expect(await device.hasSession()).toBe(true);
    const faults = await worker.metrics.whatsappFaults.get();
    expect(faults.values[0]?.value).toBe(1);
  });

  it('while nobody listens over there comes back when somebody does', async () => {
    const worker = world.worker({}, 'ws://127.0.0.1:9/ws/chat');
    const device = await world.device({ isLinked: true, worker });
    const row = await device.becomes({ status: 'connecting', status_code: 'no_answer' });
    expect(row['retry_at']).not.toBeNull();
  });
});

describe('a lease that is lost', () => {
  it('ends the socket, and nothing is written any more', async () => {
    const device = await world.device({ isLinked: true });
    await device.becomes({ status: 'connected' });
    await device.lose();
    await world.owner.query(
      sql`update public.devices set status = 'disconnected', status_reason = 'as the next one sees it' where id = ${device.deviceId}`,
    );
    // What makes it write: only then it learns of it.
    world.fake.world.connections.find(device.linked!)!.reset();
    await eventually(() => device.worker.lost.length > 0);
    expect(world.fake.world.connections.find(device.linked!)).toBeUndefined();
    expect(await device.row()).toMatchObject({
      status: 'disconnected',
      status_reason: 'as the next one sees it',
    });
  });

  it('of a device that was taken over by its next worker is no takeover that is fought', async () => {
    const [one, two] = [world.worker(), world.worker()];
    const device = await world.device({ isLinked: true, worker: one });
    await device.becomes({ status: 'connected' });
    await two.hold(device.deviceId);
    await eventually(() => one.lost.length > 0, { timeoutMs: 30_000 });
    await eventually(() => device.logins() === 2, { timeoutMs: 30_000 });
    await device.becomes({ status: 'connected', status_code: null });
    expect(world.fake.world.connections.counts().open).toBe(1);
    expect(device.logins()).toBe(2);
    expect(two.lost).toEqual([]);
  });
});
