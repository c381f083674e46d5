import { beforeAll, describe, expect, it } from 'vitest';
import { sql } from '../../platform/sql.ts';
import { eventually } from '../support/eventually.ts';
import { openInboundWorld, type InboundWorld, type Receiving } from './whatsapp-inbound-world.ts';
import { attrsOf } from './whatsapp/stanzas.ts';

let world: InboundWorld;

beforeAll(async () => {
  world = await openInboundWorld();
});

/** From now on the database refuses what says so, by the error that it names. */
const refusePoison = async (device: Receiving): Promise<void> => {
  await device.all(sql`create sequence if not exists public.refusals`);
  await device.all(sql`grant usage on public.refusals to clarin_ingest`);
  await device.all(sql`
    create or replace function public.refuse_poison() returns trigger language plpgsql as $f$
    begin
      -- Counted also when everything else is undone.
      perform nextval('public.refusals');
      raise exception 'refused' using errcode = substr(new.body, 8, 5);
    end $f$`);
  await device.all(sql`
    create or replace trigger refuse before insert on public.messages
      for each row when (new.body like 'poison%') execute function public.refuse_poison()`);
};

const refusals = async (device: Receiving): Promise<number> => {
  const [row] = await device.all(sql`select last_value from public.refusals`);
  return Number(row?.['last_value']);
};

const kept = (device: Receiving) =>
  device.all(sql`
    select attempts, error, next_at from private.whatsapp_inbox where device_id = ${device.deviceId}`);

/** The times between attempts are not waited for. */
const untilGivenUp = (device: Receiving) =>
  eventually(
    async () => {
      await device.all(sql`
        update private.whatsapp_inbox set next_at = now()
        where device_id = ${device.deviceId} and next_at is not null`);
      device.inbound.ring();
      return (await kept(device)).every((row) => row['next_at'] === null);
    },
    { says: 'it was given up', timeoutMs: 30_000 },
  );

describe('a stanza that fails', () => {
  it('for what is in it keeps nobody waiting, and in the end its place is shown and it is kept', async () => {
    const device = await world.device();
    await refusePoison(device);
    await device.decrypted(attrsOf('BAD'), { conversation: 'poison P0001' });
    await device.decrypted(attrsOf('GOOD'), { conversation: 'Good' });
    expect(await device.message('GOOD')).toMatchObject({ body: 'Good' });
    await untilGivenUp(device);
    expect(await kept(device)).toMatchObject([{ attempts: '5', error: 'refused' }]);
    expect(await device.message('BAD')).toMatchObject({ message_type: 'unknown', body: null });
    const { values } = await device.context.metrics.whatsappStanzas.get();
    const givenUp = { value: 1, labels: { outcome: 'given_up' } };
    expect(values).toContainEqual(expect.objectContaining(givenUp));
  });

  it('because the database is away waits, and what comes after it waits too', async () => {
    const device = await world.device();
    await refusePoison(device);
    const before = await refusals(device);
    await device.decrypted(attrsOf('ONE'), { conversation: 'poison 57P03' });
    await device.decrypted(attrsOf('TWO'), { conversation: 'Second' });
    await eventually(async () => (await refusals(device)) >= before + 3, { says: 'it was tried' });
    // Taken, and put back: nothing of it is counted.
    expect(await kept(device)).toMatchObject([{ attempts: '0' }, { attempts: '0' }]);
    expect(await device.messages()).toEqual([]);
    await device.all(sql`drop trigger refuse on public.messages`);
    await device.settled();
    expect((await device.messages()).map((row) => row['message_id'])).toEqual(['ONE', 'TWO']);
  });

  it('again and again as if others were in its way does not hold them up for ever', async () => {
    const device = await world.device();
    await refusePoison(device);
    await device.decrypted(attrsOf('STUCK'), { conversation: 'poison 40P01' });
    await device.decrypted(attrsOf('FREE'), { conversation: 'Free' });
    await eventually(async () => (await device.messages()).length === 1, {
      says: 'the other one is through',
      timeoutMs: 60_000,
    });
    expect(await kept(device)).toMatchObject([{ attempts: '1' }]);
  });
});
