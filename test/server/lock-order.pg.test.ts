import { beforeAll, describe, expect, test } from 'vitest';
import type { Queries } from '../../platform/postgres.ts';
import { sql, type Sql } from '../../platform/sql.ts';
import { deleteCampaign } from '../../server/commands/change-campaign.ts';
import { claimRecipients } from '../../server/commands/claim-recipients.ts';
import { deleteChat } from '../../server/commands/delete-chat.ts';
import { deleteDevice } from '../../server/commands/delete-device.ts';
import { receiveMessage } from '../../server/commands/receive-message.ts';
import { updateMessageStatus } from '../../server/commands/update-message-status.ts';
import { idsOf } from '../support/conversation-fixture.ts';
import { eventually } from '../support/eventually.ts';
import { startCampaignWorld, type CampaignWorld } from './campaign-world.ts';

type Work = (tx: Queries) => Promise<unknown>;

let world: CampaignWorld;
let accountId: number;

beforeAll(async () => {
  world = await startCampaignWorld();
  accountId = world.one.accountId;
});

const wait = (count: number) =>
  eventually(async () => {
    const [row] = await world.api.owner.query(sql`
      select count(*) as waiting from pg_stat_activity
      where datname = current_database() and wait_event_type = 'Lock'`);
    return Number(row?.['waiting']) === count;
  });

/** Both wait for the row, the first before the second; then it is let go. What became of them. */
async function atOnce(row: Sql, first: Work, second: Work): Promise<string[]> {
  const { owner } = world.api;
  const { value } = await owner.transaction(async (tx) => {
    await tx.query(row);
    const one = owner.transaction(first);
    one.catch(() => undefined);
    await wait(1);
    const two = owner.transaction(second);
    two.catch(() => undefined);
    await wait(2);
    return { both: () => Promise.allSettled([one, two]) };
  });
  return (await value.both()).map((end) => end.status);
}

async function newDevice(): Promise<number> {
  const [id = 0] = await idsOf(
    world.api.owner,
    sql`insert into public.devices (account_id, name, status) values (${accountId}, 'New', 'connected') returning id`,
  );
  return id;
}

/** A campaign of two, one of whom is claimed, and the receipt that its message was sent. */
async function claimedOne(deviceId: number): Promise<{ id: number; row: Sql; receipt: Work }> {
  const id = await world.running(2, { device_id: deviceId });
  const options = { accountId, campaignId: id, now: Date.now() + 1_000, random: () => 0 };
  const { value } = await world.api.owner.transaction((tx) => claimRecipients(tx, options));
  expect(value).toBe('claimed');
  const [message] = await world.api.owner.query(sql`
    select message.message_id, message.chat_id
    from public.campaign_recipients as recipient
    join public.messages as message on message.id = recipient.message_id
    where recipient.campaign_id = ${id}`);
  const report = {
    chatId: Number(message?.['chat_id']),
    messageId: message?.['message_id'] ?? '',
    status: 'sent' as const,
  };
  return {
    id,
    row: sql`select id from public.campaigns where id = ${id} for no key update`,
    receipt: (tx) => updateMessageStatus(tx, { accountId, deviceId, reports: [report] }),
  };
}

describe('a receipt does not wait for who waits for it', () => {
  test('when the device of its campaign is deleted', async () => {
    const deviceId = await newDevice();
    const { row, receipt } = await claimedOne(deviceId);
    const deletion: Work = (tx) => deleteDevice(tx, { accountId, id: deviceId });
    expect(await atOnce(row, deletion, receipt)).toEqual(['fulfilled', 'fulfilled']);
  });

  test('when its campaign is deleted', async () => {
    const { id, row, receipt } = await claimedOne(await newDevice());
    await world.ask('POST', `/api/campaigns/${id}/pause`);
    const deletion: Work = (tx) => deleteCampaign(tx, { accountId, id });
    expect(await atOnce(row, deletion, receipt)).toEqual(['fulfilled', 'fulfilled']);
  });

  test('when the message is taken back as it is read', async () => {
    const deviceId = await newDevice();
    const jid = '51911111111@s.whatsapp.net';
    const common = { accountId, deviceId, jid, sentAt: new Date().toISOString(), isFromMe: false };
    const text = { kind: 'text', text: 'Hello' } as const;
    const { value } = await world.api.owner.transaction((tx) =>
      receiveMessage(tx, { ...common, messageId: 'SAID', content: text }),
    );
    const revoke = { kind: 'revoke', target: 'SAID' } as const;
    const revocation: Work = (tx) =>
      receiveMessage(tx, { ...common, messageId: 'TAKEN', content: revoke });
    const { chatId } = value;
    const report = { chatId, messageId: 'SAID', status: 'read', isOurs: true } as const;
    const receipt: Work = (tx) =>
      updateMessageStatus(tx, { accountId, deviceId, reports: [report] });
    const row = sql`select id from public.chats where id = ${chatId} for no key update`;
    expect(await atOnce(row, revocation, receipt)).toEqual(['fulfilled', 'fulfilled']);
  });
});

test('what is written to a chat while its device is deleted fails, and does not wait for ever', async () => {
  const { owner } = world.api;
  const deviceId = await newDevice();
  const [contactId = 0] = await world.people(1);
  const [chatId = 0] = await idsOf(
    owner,
    sql`
      insert into public.chats (account_id, device_id, contact_id, jid)
      values (${accountId}, ${deviceId}, ${contactId}, 'late@lid')
      returning id`,
  );
  const { value } = await owner.transaction(async (tx) => {
    await tx.query(sql`
      insert into public.messages (account_id, chat_id, body, is_from_me)
      values (${accountId}, ${chatId}, 'late', true)`);
    const deletion = owner.transaction((other) => deleteDevice(other, { accountId, id: deviceId }));
    deletion.catch(() => undefined);
    await wait(1);
    return { ends: () => deletion };
  });
  await value.ends();
  const [row] = await owner.query(
    sql`select status from public.messages where chat_id = ${chatId}`,
  );
  expect(row?.['status']).toBe('failed');
});

test('a chat that is deleted takes the file along that came while it waited for the chat', async () => {
  const { owner } = world.api;
  const deviceId = await newDevice();
  const [contactId = 0] = await world.people(1);
  const [chatId = 0] = await idsOf(
    owner,
    sql`
      insert into public.chats (account_id, device_id, contact_id, jid)
      values (${accountId}, ${deviceId}, ${contactId}, 'deleted@lid')
      returning id`,
  );
  const { value } = await owner.transaction(async (tx) => {
    await tx.query(sql`select id from public.chats where id = ${chatId} for no key update`);
    const deletion = owner.transaction((other) => deleteChat(other, { accountId, id: chatId }));
    deletion.catch(() => undefined);
    await wait(1);
    const [fileId = 0] = await idsOf(
      tx,
      sql`
        insert into public.media (account_id, device_id, object_key, mimetype)
        values (${accountId}, ${deviceId}, 'late', 'image/png')
        returning id`,
    );
    await tx.query(sql`
      insert into public.messages (account_id, chat_id, message_type, media_id)
      values (${accountId}, ${chatId}, 'image', ${fileId})`);
    return { deletion, fileId };
  });
  await value.deletion;
  expect(await owner.query(sql`select id from public.media where id = ${value.fileId}`)).toEqual(
    [],
  );
});
