import { ident, sql, type Sql } from '../../platform/sql.ts';
import { applyKommoUsers } from '../../server/commands/apply-kommo-account.ts';
import type { KommoScope } from '../../server/commands/apply-kommo-looks.ts';
import { applyKommoPipelines } from '../../server/commands/apply-kommo-pipelines.ts';
import { applyKommoTags } from '../../server/commands/apply-kommo-tags.ts';
import { receiveMessage } from '../../server/commands/receive-message.ts';
import { pipelineDocument } from './kommo-apply-documents.ts';
import type { ModelContact } from './kommo-apply-model.ts';
import { createOracle, type Oracle } from './kommo-apply-oracle.ts';
import { createRandom, createSim, type Sim, type SimSetting } from './kommo-apply-sim.ts';
import type { ApplyWorld } from './kommo-apply-world.ts';

export type Play = {
  readonly world: ApplyWorld;
  readonly scope: KommoScope;
  readonly deviceId: number;
  readonly sim: Sim;
  readonly oracle: Oracle;
  readonly setting: SimSetting;
  readonly memberId: number;
  /** Ours of the model's, once they are known. */
  readonly ids: Map<ModelContact, number>;
};

export async function openPlay(world: ApplyWorld, seed: number): Promise<Play> {
  const { db } = world;
  const number = async (statement: Sql): Promise<number> =>
    Number((await world.one(statement))['id']);
  const accountId = await number(sql`
    insert into public.accounts (name, slug, default_country) values ('Random', ${`random-${seed}`}, 'PE') returning id`);
  await db.query(sql`select clarin.seed_account_defaults(${accountId})`);
  const deviceId = await number(sql`
    insert into public.devices (account_id, name) values (${accountId}, 'Phone') returning id`);
  const memberId = await number(sql`
    with person as (
      insert into public.users (username, display_name, email, password_hash)
      values (${`random-${seed}`}, 'Member', ${`random-${seed}@x.pe`}, 'none')
      returning id
    )
    insert into public.memberships (account_id, user_id, role_id)
    select ${accountId}, person.id, role.id
    from person, public.roles as role where role.account_id = ${accountId} and role.name = 'Agent'
    returning user_id as id`);
  const connectionId = await number(sql`
    insert into public.kommo_connections (account_id, subdomain, currency)
    values (${accountId}, ${`random-${seed}`}, 'PEN') returning id`);
  const scope = { accountId, connectionId };
  const tagsOf = (kind: string) =>
    [1, 2, 3].map((n) => ({ id: world.next(), name: `${kind} ${n}` }));
  const setting: SimSetting = {
    phones: Array.from({ length: 8 }, (_unused, n) => `5199${String(1_000_000 + n * 37)}`),
    tags: { contact: tagsOf('shared'), lead: tagsOf('shared') },
    users: [world.next(), world.next(), 0],
    pipelines: [
      { id: world.next(), statuses: [world.next(), world.next(), world.next()] },
      { id: world.next(), statuses: [world.next()] },
    ],
    nextId: () => world.next(),
  };
  await setUp(world, scope, setting, `random-${seed}@x.pe`);
  const sim = createSim(createRandom(seed), setting);
  const kommoTags = new Set(setting.tags.lead.map(({ name }) => name));
  const oracle = createOracle({
    followed: setting.pipelines[0]?.id ?? 0,
    kommoTags,
    members: new Map([[setting.users[0] ?? 0, memberId]]),
  });
  return { world, scope, deviceId, sim, oracle, setting, memberId, ids: new Map() };
}

async function setUp(
  world: ApplyWorld,
  scope: KommoScope,
  setting: SimSetting,
  email: string,
): Promise<void> {
  const pipelines = setting.pipelines.map(({ id, statuses }) =>
    pipelineDocument(
      id,
      `Pipeline ${id}`,
      statuses.map((status) => ({ id: status })),
    ),
  );
  const [member = 0, stranger = 0] = setting.users;
  await world.run(async (tx) => {
    await applyKommoPipelines(tx, scope, pipelines);
    await tx.query(sql`
      update public.kommo_pipelines set is_connected = true
      where connection_id = ${scope.connectionId} and kommo_id = ${setting.pipelines[0]?.id}`);
    await applyKommoPipelines(tx, scope, pipelines);
    await applyKommoTags(tx, scope, 'lead', setting.tags.lead);
    await applyKommoTags(tx, scope, 'contact', setting.tags.contact);
    await applyKommoUsers(tx, scope, [
      { id: member, name: 'Member', email },
      { id: stranger, name: 'Stranger', email: 'stranger@x.pe' },
    ]);
  });
}

/** What people and WhatsApp do meanwhile. */
export async function meddle(play: Play): Promise<void> {
  const { world, scope, deviceId, sim, oracle, setting, memberId } = play;
  const { random } = sim;
  const { accountId } = scope;
  if (random.chance(3)) {
    const phone = random.pick(setting.phones);
    const fromName = random.pick(['Rosi', 'Anita']);
    await world.run((tx) =>
      receiveMessage(tx, {
        ...world.options({ jid: `${phone}@s.whatsapp.net` }),
        accountId,
        deviceId,
        fromName,
      }),
    );
    oracle.receive(phone, fromName);
  }
  const [contact] = random.shuffled([...oracle.contacts]);
  const contactId = contact && (await bind(play)).get(contact);
  if (contact && contactId !== undefined && random.chance(3)) {
    contact.notes = 'noted';
    contact.isBarred ||= random.chance(3);
    contact.fields['Talla'] = 'M';
    contact.tags.add('by hand');
    await world.db.query(sql`
      update public.contacts
      set notes = 'noted', do_not_contact = ${contact.isBarred}, custom_fields = custom_fields || '{"Talla": "M"}'
      where id = ${contactId}`);
    await tagByHand(
      world,
      accountId,
      sql`contact_tags (account_id, contact_id, tag_id)`,
      contactId,
    );
  }
  const [lead] = random.shuffled([...oracle.leads.values()]);
  if (!lead || random.chance(2)) return;
  const column = random.pick(['isArchived', 'isTrashed'] as const);
  const isSet = !lead[column];
  oracle.mark(lead, column, isSet);
  lead.notes = 'noted';
  lead.fields['Sala'] = 'B';
  const isOurs = random.chance(2);
  if (isOurs) lead.assignedTo = memberId;
  await world.db.query(sql`
    update public.leads
    set notes = 'noted', custom_fields = custom_fields || '{"Sala": "B"}',
      archived_at = case when ${column === 'isArchived'} then case when ${isSet} then now() end else archived_at end,
      deleted_at = case when ${column === 'isTrashed'} then case when ${isSet} then now() end else deleted_at end,
      assigned_to = case when ${isOurs} then ${memberId}::bigint else assigned_to end
    where account_id = ${accountId} and kommo_id = ${lead.kommoId}`);
}

async function tagByHand(
  world: ApplyWorld,
  accountId: number,
  links: Sql,
  id: number,
): Promise<void> {
  await world.db.query(sql`
    insert into public.tags (account_id, name) values (${accountId}, 'by hand') on conflict do nothing`);
  await world.db.query(sql`
    insert into public.${links}
    select ${accountId}, ${id}, id from public.tags where account_id = ${accountId} and name = 'by hand'
    on conflict do nothing`);
}

/** Ours of every contact of the model; one that was found once stays the same. */
export async function bind({
  world,
  scope,
  oracle,
  ids,
}: Play): Promise<Map<ModelContact, number>> {
  const { accountId } = scope;
  const rows = await world.all(sql`
    select id, kommo_id, jid from public.contacts where account_id = ${accountId}`);
  const leads = await world.all(sql`
    select kommo_id, contact_id from public.leads where account_id = ${accountId} and kommo_id is not null`);
  for (const contact of oracle.contacts) {
    if (ids.has(contact)) continue;
    const row = rows.find(({ kommo_id, jid }) =>
      contact.kommoId === undefined
        ? contact.jid !== null && jid === contact.jid
        : kommo_id === String(contact.kommoId),
    );
    const lead = leads.find(
      ({ kommo_id }) => oracle.leads.get(Number(kommo_id))?.contact === contact,
    );
    const id = row?.['id'] ?? lead?.['contact_id'];
    if (id) ids.set(contact, Number(id));
  }
  const byId = new Map([...ids].map(([contact, id]) => [id, contact]));
  const phones = await world.all(sql`
    select value, contact_id from public.contact_identities where account_id = ${accountId} and kind = 'phone'`);
  oracle.owners = new Map(
    phones.flatMap(({ value, contact_id }) => {
      const contact = byId.get(Number(contact_id));
      return value && contact ? [[value, contact]] : [];
    }),
  );
  return ids;
}

/** Rows of published tables as text, by table and id. */
export async function snapshot(world: ApplyWorld, accountId: number): Promise<Map<string, string>> {
  const tables = ['contacts', 'leads', 'contact_tags', 'lead_tags', 'tags', 'contact_identities'];
  const rows = await Promise.all(
    tables.map((table) =>
      world.all(sql`
        select ${table} || ' ' || item.id as key, (to_jsonb(item) - 'updated_at')::text as value
        from public.${ident(table)} as item
        where item.account_id = ${accountId}`),
    ),
  );
  return new Map(rows.flat().map((row) => [row['key'] ?? '', row['value'] ?? '']));
}
