import { beforeAll, describe, expect, test } from 'vitest';
import { ClarinError } from '../../domain/errors.ts';
import { sql } from '../../platform/sql.ts';
import { disconnectKommo } from '../../server/commands/connect-kommo.ts';
import { Health } from '../../server/ingest/kommo/health.ts';
import type { Session } from '../../server/ingest/kommo/session.ts';
import { KommoError, type KommoFailure } from '../../server/kommo/errors.ts';
import { openWorkerWorld, type Account, type WorkerWorld } from './kommo-worker-world.ts';
import { watchWal } from './wal-changes.ts';

let world: WorkerWorld;

beforeAll(async () => {
  world = await openWorkerWorld();
});

const shown = ({ connection }: Account) =>
  world.one(sql`
    select status, status_reason, status_until is not null as has_until
    from public.kommo_connections where id = ${connection.id}`);

async function open(): Promise<{ account: Account; session: Session; health: Health }> {
  const account = await world.account();
  const session = await world.session(account.connection);
  return { account, session, health: new Health(session) };
}

const failed = (kind: KommoFailure): KommoError => new KommoError(kind, `It is ${kind}.`);

const succeed = (health: Health, alarm?: string): Promise<void> =>
  health.succeed('updated', { begun: health.begin(), alarm });

describe('how a connection is doing', () => {
  test('is written once, and taken back by the first success', async () => {
    const { account, health } = await open();
    await health.fail(failed('payment_required'), 'updated');
    expect(await shown(account)).toEqual({
      status: 'paused',
      status_reason: 'It is payment_required.',
      has_until: 't',
    });
    expect(health.restMs('updated')).toBe(3_600_500);
    const wal = await watchWal(world.owner);
    await health.fail(failed('payment_required'), 'events');
    expect(await wal.take()).toEqual({});
    await succeed(health);
    expect(await wal.take()).toEqual({ kommo_connections: 1 });
    await succeed(health);
    expect(await wal.take()).toEqual({});
    expect((await shown(account))['status']).toBe('connected');
  });

  test('is not taken back by an attempt that was under way when another one failed', async () => {
    const { account, health } = await open();
    const begun = health.begin();
    await health.fail(failed('blocked'), 'updated');
    await health.succeed('sweep', { begun, alarm: undefined });
    expect((await shown(account))['status']).toBe('blocked');
  });

  test('is not written over that people have disconnected it', async () => {
    const { account, health } = await open();
    const { accountId, id } = account.connection;
    await world.owner.transaction((tx) => disconnectKommo(tx, { accountId, id }));
    await health.fail(failed('needs_reauth'), 'updated');
    expect((await shown(account))['status']).toBe('disconnected');
  });

  test('waits for another token once one is refused, and for nothing else', async () => {
    const { session, health } = await open();
    await health.fail(failed('needs_reauth'), 'updated');
    expect(health.restMs('sweep')).toBe(Infinity);
    expect(health.isStuck()).toBe(true);
    health.nudge();
    expect(health.restMs('updated')).toBe(Infinity);
    session.connection = { ...session.connection, tokensKeptAt: 'later' };
    expect(health.restMs('updated')).toBe(0);
  });

  test('rests while Kommo asks for it, whoever says what; what people can do something about is tried when they have', async () => {
    const { health } = await open();
    await health.fail(
      new KommoError('rate_limited', 'Rest.', { untilMs: world.time.now() + 300_000 }),
      'updated',
    );
    health.nudge();
    expect(health.restMs('updated')).toBeGreaterThan(299_000);
    const other = await open();
    await other.health.fail(failed('payment_required'), 'updated');
    other.health.nudge();
    expect(other.health.restMs('updated')).toBe(0);
  });

  test('is said when it is a fault of ours: at once where somebody can help, else when it lasts', async () => {
    const { account, health } = await open();
    const fault = new TypeError('something of ours');
    await health.fail(fault, 'updated');
    expect((await shown(account))['status']).toBe('connected');
    world.time.advance(6 * 60_000);
    await health.fail(fault, 'updated');
    const row = await shown(account);
    expect(row['status']).toBe('error');
    expect(row['status_reason']).toContain('a fault of Clarin');
    expect(row['status_reason']).not.toContain('something of ours');
    await succeed(health);
    expect((await shown(account))['status']).toBe('connected');
    await health.fail(new ClarinError('configuration', 'sealed'), 'updated');
    expect((await shown(account))['status_reason']).toContain('Connect it again');
  });

  test('is of a pass alone when its rights are missing: the others go on, and people are told', async () => {
    const { account, health } = await open();
    await health.fail(failed('forbidden'), 'reference');
    expect(health.restMs('reference')).toBe(600_000);
    expect(health.restMs('updated')).toBe(0);
    await succeed(health);
    expect((await shown(account))['status']).toBe('error');
    await health.succeed('reference', { begun: health.begin(), alarm: undefined });
    expect((await shown(account))['status']).toBe('connected');
  });

  test('has a word for people though all is well: a token that ends, rows that are missing', async () => {
    const { account, session, health } = await open();
    const tokenExpiresAtMs = world.time.now() + 5 * 86_400_000;
    session.connection = { ...session.connection, tokenExpiresAtMs };
    await succeed(health);
    const row = await shown(account);
    expect(row['status']).toBe('connected');
    expect(row['status_reason']).toContain('in less than 7 days');
    await succeed(health, 'Many are missing.');
    expect((await shown(account))['status_reason']).toBe('Many are missing.');
  });
});
