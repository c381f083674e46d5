import { beforeAll, describe, expect, test } from 'vitest';
import { sayingOf } from '../../domain/device-status.ts';
import { sql } from '../../platform/sql.ts';
import { beatDevicePulses, setDeviceStatus } from '../../server/commands/set-device-status.ts';
import { restrictedTo } from './restricted-role.ts';
import { startTestApi, type Caller, type TestApi } from './support.ts';

let api: TestApi;
let admin: Caller;

beforeAll(async () => {
  api = await startTestApi();
  admin = await api.account('watched');
  await api.account('elsewhere');
});

const scopeOf = (deviceId: number | undefined) => ({
  accountId: admin.accountId,
  deviceId: deviceId ?? 0,
});

describe('how a device is', () => {
  test('is a status, a code, a sentence and since when, written once, and a pulse that proves it', async () => {
    const scope = scopeOf(admin.deviceIds[0]);
    const retryAtMs = Date.now() + 60_000;
    const say = (code: 'connection_lost' | undefined) =>
      api.owner.transaction((tx) =>
        setDeviceStatus(tx, scope, {
          status: code ? 'connecting' : 'connected',
          code,
          retryAtMs: code && retryAtMs,
        }),
      );
    const health = async () =>
      (await api.ask(admin, 'GET', `/api/devices/${scope.deviceId}/health`)).body.data;
    await say('connection_lost');
    const lost = await health();
    expect(lost).toMatchObject({
      status: 'connecting',
      status_code: 'connection_lost',
      status_reason: sayingOf('connection_lost').says,
      is_alive: false,
    });
    expect(Date.parse(lost.retry_at)).toBe(Math.ceil(retryAtMs / 1_000) * 1_000);
    const version = () =>
      api.owner.query(sql`select xmin from public.devices where id = ${scope.deviceId}`);
    const before = await version();
    await say('connection_lost');
    expect(await version()).toEqual(before);
    await say(undefined);
    const silent = await health();
    expect(silent).toMatchObject({ status: 'connected', is_alive: false });
    expect(silent.status_code).toBeUndefined();
    expect(silent.retry_at).toBeUndefined();
    expect(silent.status_since > lost.status_since).toBe(true);
    await beatDevicePulses(api.owner, [{ ...scope, ageMs: 59_000 }]);
    expect(await health()).toMatchObject({ is_alive: true });
    // An older one is no news.
    await beatDevicePulses(api.owner, [{ ...scope, ageMs: 61_000 }]);
    expect(await health()).toMatchObject({ is_alive: true });
    await api.owner.query(
      sql`update private.whatsapp_pulses set frame_at = frame_at - interval '2 seconds'`,
    );
    expect(await health()).toMatchObject({ is_alive: false });
  });

  test('asked for again after it was given up is cleared, and kept for a number that is banned', async () => {
    const scope = scopeOf(admin.deviceIds[1]);
    const row = async (verb: string) =>
      (await api.ask(admin, 'POST', `/api/devices/${scope.deviceId}/${verb}`)).body.data;
    const say = (code: 'conflict' | 'banned') =>
      api.owner.transaction((tx) =>
        setDeviceStatus(tx, scope, { status: sayingOf(code).status, code, retryAtMs: undefined }),
      );
    await say('conflict');
    expect((await row('disconnect')).status_code).toBe('conflict');
    const asked = await row('connect');
    expect(asked.wanted).toBe('connected');
    expect(asked.status_code).toBeUndefined();
    expect(asked.status_reason).toBeUndefined();
    await say('conflict');
    // Wanted already: asking once more is asking anew.
    expect((await row('connect')).status_code).toBeUndefined();
    await say('banned');
    expect((await row('connect')).status_code).toBe('banned');
    expect((await row('disconnect')).status_code).toBe('banned');
  });

  test('is not to be tried again by itself when people do not want it any more', async () => {
    const scope = scopeOf(admin.deviceIds[1]);
    const path = `/api/devices/${scope.deviceId}`;
    for (const verb of ['disconnect', 'logout']) {
      await api.ask(admin, 'POST', `${path}/connect`);
      const retryAtMs = Date.now() + 900_000;
      await api.owner.transaction((tx) =>
        setDeviceStatus(tx, scope, { status: 'disconnected', code: 'fault', retryAtMs }),
      );
      const { data } = (await api.ask(admin, 'POST', `${path}/${verb}`)).body;
      expect(data.status).toBe('disconnected');
      for (const member of ['status_code', 'status_reason', 'retry_at'])
        expect([verb, data[member]]).toEqual([verb, undefined]);
    }
  });
});

describe('the devices page', () => {
  test('counts the devices of the account by how they are, and those that frames come from', async () => {
    await api.owner.query(sql`
      update public.devices set status = 'connecting', status_code = 'refused', retry_at = '2099-01-02T03:04:05Z'
      where id = ${admin.deviceIds[0]}`);
    await api.owner.query(sql`
      update public.devices set status = 'connected', status_code = null where id = ${admin.deviceIds[1]}`);
    await beatDevicePulses(api.owner, [{ ...scopeOf(admin.deviceIds[1]), ageMs: 0 }]);
    await api.owner.query(
      sql`delete from public.messages where account_id = ${admin.accountId} and status = 'pending'`,
    );
    await api.owner.query(sql`
      insert into public.messages (account_id, chat_id, body, is_from_me, status, created_at)
      values (${admin.accountId}, ${admin.chatIds[0]}, 'waits', true, 'pending', now() - interval '90 seconds')`);
    const { status, body } = await api.ask(admin, 'GET', '/ops/devices');
    expect(status).toBe(200);
    expect(body.data.devices).toEqual([
      { status: 'connected', count: 1, alive_count: 1 },
      {
        status: 'connecting',
        status_code: 'refused',
        status_reason: sayingOf('refused').says,
        retry_at: '2099-01-02T03:04:05.000000Z',
        count: 1,
        alive_count: 0,
      },
    ]);
    expect(body.data).toMatchObject({
      pending_count: 1,
      worker_count: 0,
      leased_count: 0,
      breaker: { is_open: false },
      versions: [],
    });
    expect(body.data.oldest_pending_seconds).toBeGreaterThanOrEqual(90);
    const token = await api.tokenOf(admin, ['devices']);
    expect((await api.ask({ token }, 'GET', '/ops/devices')).status).toBe(403);
  });

  test('[A6] counts only those that a restricted role sees, and what waits for them', async () => {
    const [first = 0, second = 0] = admin.deviceIds;
    const seen = async (id: number) => {
      const some = await restrictedTo(api, admin, [id], ['ops']);
      const { data } = (await api.ask(some, 'GET', '/ops/devices')).body;
      const statuses = data.devices.map(({ status }: { status: string }) => status);
      return { statuses, waiting: data.pending_count };
    };
    expect(await seen(second)).toEqual({ statuses: ['connected'], waiting: 1 });
    expect(await seen(first)).toEqual({ statuses: ['connecting'], waiting: 0 });
  });

  test('shows super administrators those of all accounts, and takes a version to try from them alone', async () => {
    let caller: { token: string } = admin;
    const post = (body: unknown) => api.ask(caller, 'POST', '/ops/devices/versions', { body });
    expect((await post({ version: '2.3000.5' })).status).toBe(403);
    await api.owner.query(
      sql`update public.users set is_super_admin = true where id = ${admin.userId}`,
    );
    caller = { token: await api.tokenOf(admin) };
    for (const version of ['2.3000', '2.3000.x', '2.3000.4294967296', ' 2.3000.1', '-2.3.1'])
      expect([version, (await post({ version })).status]).toEqual([version, 400]);
    expect((await post({ version: '2.3000.07' })).body.data).toEqual({
      version: '2.3000.7',
      is_new: true,
    });
    expect((await post({ version: '2.3000.7' })).body.data).toMatchObject({ is_new: false });
    await api.owner.query(sql`
      update private.whatsapp_breaker set opened_at = now(), probe_at = now(), probe_version = '2.3000.6'`);
    const { body } = await api.ask(caller, 'GET', '/ops/devices');
    const count = body.data.devices.reduce(
      (sum: number, row: { count: number }) => sum + row.count,
      0,
    );
    expect(count).toBe(4);
    expect(body.data.breaker).toMatchObject({ is_open: true, probe_version: '2.3000.6' });
    expect(body.data.versions).toMatchObject([{ version: '2.3000.7' }]);
  });
});
