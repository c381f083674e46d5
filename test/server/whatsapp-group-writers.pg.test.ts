import { beforeAll, describe, expect, it } from 'vitest';
import { sql } from '../../platform/sql.ts';
import { openInboundWorld, type InboundWorld, type Receiving } from './whatsapp-inbound-world.ts';
import { ANA, attrsOf, GROUP } from './whatsapp/stanzas.ts';

let world: InboundWorld;

beforeAll(async () => {
  world = await openInboundWorld();
});

const EVE = { jid: '51911111111@s.whatsapp.net', lid: '99000000000001@lid' };

/** Attributes of a stanza in the group. */
const inGroup = (id: string, { jid, lid }: typeof ANA): Record<string, string> => {
  const { sender_pn: _, ...attrs } = attrsOf(id, { from: GROUP });
  return { ...attrs, participant: lid, participant_pn: jid };
};

async function inGroups(): Promise<Receiving> {
  const device = await world.device();
  await world.owner.query(
    sql`update public.devices set receive_groups = true where id = ${device.deviceId}`,
  );
  return device;
}

describe('what could not be read in a group', () => {
  it('is not filled by somebody else who knows its id', async () => {
    const device = await inGroups();
    await device.decrypted(inGroup('SECRET', ANA), new Uint8Array());
    await device.decrypted(inGroup('SECRET', EVE), { conversation: 'what Ana never said' });
    await device.settled();
    expect(await device.messages()).toMatchObject([
      { message_id: 'SECRET', message_type: 'unknown', body: null, from_jid: ANA.lid },
    ]);
    await device.decrypted(inGroup('SECRET', ANA), { conversation: 'what Ana said' });
    await device.settled();
    expect(await device.messages()).toMatchObject([
      { message_id: 'SECRET', message_type: 'text', body: 'what Ana said', from_jid: ANA.lid },
    ]);
  });

  it('is filled by its writer also when the group goes by numbers since', async () => {
    const device = await inGroups();
    await device.decrypted(inGroup('MOVED', ANA), new Uint8Array());
    const byNumber = { participant: ANA.jid, participant_lid: ANA.lid, addressing_mode: 'pn' };
    const { participant_pn: _, ...attrs } = inGroup('MOVED', ANA);
    await device.decrypted({ ...attrs, ...byNumber }, { conversation: 'Hello' });
    await device.settled();
    expect(await device.messages()).toMatchObject([{ message_id: 'MOVED', body: 'Hello' }]);
  });
});
