import { afterAll, beforeAll, expect, it } from 'vitest';
import { KOMMO_CHANNEL, parseKommoNote } from '../../platform/kommo-notes.ts';
import { connectClient } from '../../platform/postgres.ts';
import { eventually } from '../support/eventually.ts';
import { openFeedWorld, type FeedWorld } from './world.ts';

let world: FeedWorld;

beforeAll(async () => {
  world = await openFeedWorld();
});
afterAll(() => world.close());

it('the Kommo workers are told whose leads are watched, and of nobody else', async () => {
  const watched = await world.account('watched');
  const other = await world.account('looks-at-tags');
  const listener = await connectClient({ url: world.database.ownerUrl, applicationName: 'test' });
  const heard: unknown[] = [];
  listener.on('notification', ({ payload }) => heard.push(parseKommoNote(payload ?? '')));
  await listener.query(`listen ${KOMMO_CHANNEL}`);
  const client = await world.member(await world.login(watched));
  await client.subscribe('board', [{ table: 'leads' }]);
  await (await world.member(await world.login(other))).subscribe('tags', [{ table: 'tags' }]);
  await eventually(async () => heard.length > 0, { timeoutMs: 20_000, says: 'a note has come' });
  expect(heard[0]).toEqual({ kind: 'watched', accountId: watched });
  expect(heard).not.toContainEqual({ kind: 'watched', accountId: other });
  await listener.end();
});
