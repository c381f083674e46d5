import { afterAll, beforeAll, expect, test } from 'vitest';
import { sql } from '../../platform/sql.ts';
import {
  happening,
  openPlay,
  readAt,
  untilEqual,
  untilRead,
  type Play,
} from './kommo-live-play.ts';

let play: Play;

beforeAll(async () => {
  const weather = {
    settings: { doesMergeTellDeleted: true },
    isLossy: false,
    isLate: false,
  } as const;
  play = await openPlay(7, { weather, size: { leads: 900, contacts: 300 } });
  await untilEqual(play, 600);
});
afterAll(() => play.live.stop());

async function told(): Promise<{ status: string; reason: string }> {
  const { world, live } = play;
  const [row] = await world.owner.query(sql`
    select status, status_reason from public.kommo_connections where id = ${live.connection.id}`);
  return { status: row?.['status'] ?? '', reason: row?.['status_reason'] ?? '' };
}

test('ten minutes without Kommo lose nothing; people are told, and told that it is over', async () => {
  const { world, live } = play;
  const between = happening(play, { oneIn: 2, isPlain: false });
  const { kommo } = live;
  const read = await readAt(play);
  await live.run(30, { between });
  await world.fake.goDown();
  await live.run(240, { between });
  kommo.bulkEdit('leads', { count: 300 });
  await live.run(5);
  kommo.bulkEdit('leads', { count: 500 });
  play.ledger.note();
  expect(await told()).toEqual({ status: 'connected', reason: '' });
  await live.run(360, { between });
  expect(await told()).toMatchObject({ status: 'error', reason: expect.stringMatching(/Kommo/) });
  // While the pages of all that are read, rows go on moving from one to another.
  const does = { kind: 'edit', rows: 30 } as const;
  world.fake.faults.add({ subdomain: kommo.subdomain, endpoint: 'leads', times: 4, does });
  await world.fake.comeBack();
  await untilEqual(play, 300);
  expect(await told()).toEqual({ status: 'connected', reason: '' });
  // What was missed is known from where it stood, not by reading everything.
  expect(await readAt(play)).toBe(read);
});

test('a 429 of five minutes is five minutes without a request, and then all that happened meanwhile', async () => {
  const { world, live } = play;
  const { fake, clock } = world;
  const { subdomain } = live.kommo;
  const between = happening(play, { oneIn: 2, isPlain: true });
  const status = { kind: 'status', status: 429, retryAfterSeconds: 300 } as const;
  fake.faults.add({ subdomain, times: 1, does: status });
  await live.until(() => fake.requests.list({ status: 429 }).length > 0, {
    seconds: 120,
    says: () => 'Kommo asks for a pause',
  });
  await live.run(1);
  const [asked, fromMs] = [fake.requests.count, clock.now()];
  await live.run(240, { between });
  expect((await told()).status).toBe('rate_limited');
  await live.until(() => fake.requests.count > asked, { seconds: 240, says: () => 'it goes on' });
  // Noticed within so many seconds: of the pause, and of the look that sees that it went on.
  expect(clock.now() - fromMs).toBeGreaterThan(280_000);
  await untilEqual(play, 300);
  expect((await told()).status).toBe('connected');
});

test('who begins while Kommo is away knows since when nobody has read, and reads everything', async () => {
  const { world, live } = play;
  const { kommo } = live;
  const read = await readAt(play);
  kommo.set({ eventLoss: 1 });
  await world.fake.goDown();
  await live.run(30);
  await live.restart();
  await live.run(30);
  const [contact] = [...kommo.contacts.all()].filter(({ isDeleted }) => !isDeleted);
  if (contact) kommo.contacts.delete(contact.id);
  play.ledger.note();
  world.clock.advance(2 * 3_600_000);
  await live.run(30);
  await world.fake.comeBack();
  await untilRead(play, read);
  await untilEqual(play, 300);
});
