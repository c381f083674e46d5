import { sql } from '../../platform/sql.ts';
import { FORM, formOf } from './forms.ts';
import { PASSWORD, type Answer, type Caller, type TestApi } from './support.ts';

type Body = Answer['body'];
/** Asks `METHOD /path/{id}` at the path with the ids in it, and gives the answer's data. */
const URL_ENCODED = 'application/x-www-form-urlencoded';

type Run = (route: string, body?: object | Buffer, ...ids: readonly unknown[]) => Promise<Body>;
type World = {
  readonly api: TestApi;
  /** A super administrator with the PASSWORD. */
  readonly caller: Caller;
  readonly username: string;
  /** Keeps names apart. */
  readonly n: number;
};
type Step = (run: Run, world: World) => Promise<void>;

/**
 * A request for every writing route there is, in an order in which each finds what it needs; by route.
 * The last of them ends all sessions of the caller.
 */
export async function writeEverything(world: World): Promise<Map<string, Answer>> {
  const { api, caller } = world;
  const answers = new Map<string, Answer>();
  const run: Run = async (route, body, ...ids) => {
    const [method = '', template = ''] = route.split(' ');
    const path = ids.reduce<string>((rest, id) => rest.replace(/\{\w+\}/, String(id)), template);
    const isForm = body instanceof URLSearchParams;
    const type = isForm ? URL_ENCODED : body instanceof Buffer ? FORM : undefined;
    const headers = type === undefined ? {} : { headers: { 'content-type': type } };
    const sent = isForm ? body.toString() : body;
    const answer = await api.ask(caller, method, path, { body: sent, ...headers });
    answers.set(route, answer);
    return answer.body?.data;
  };
  const steps = [
    writeContacts,
    writeTagsAndLeads,
    writePipelines,
    writeMembers,
    writeAccounts,
    writeKeys,
    writeFiles,
    writeDevices,
    writeChats,
    writeMessages,
    writeSalesTools,
    writeCampaigns,
    writeImports,
    writeKommo,
  ] satisfies Step[];
  for (const step of steps) await step(run, world);
  await writeSessions(answers, run, world);
  return answers;
}

async function writeContacts(run: Run, { caller, n }: World): Promise<void> {
  const one = await run('POST /api/contacts', { name: `Person ${n}` });
  const other = await run('POST /api/contacts', { name: `Person ${n} once more` });
  await run('PATCH /api/contacts/{id}', { name: 'Renamed' }, one.id);
  await run('POST /api/contacts/{id}/do-not-contact', { reason: 'Asked for it' }, one.id);
  await run('DELETE /api/contacts/{id}/do-not-contact', undefined, one.id);
  await run('POST /api/contacts/{id}/reset-name', {}, one.id);
  await run('POST /api/contacts/bulk', { action: 'tag', ids: [one.id], tag_ids: caller.tagIds });
  await run('POST /api/contacts/{id}/merge', { contact_ids: [other.id] }, one.id);
  await run('DELETE /api/contacts/{id}', undefined, one.id);
}

async function writeTagsAndLeads(run: Run, { caller, n }: World): Promise<void> {
  const tag = await run('POST /api/tags', { name: `Written ${n}` });
  await run('PATCH /api/tags/{id}', { color: '#abcdef' }, tag.id);
  const contact_id = caller.contactIds[0];
  const lead = await run('POST /api/leads', { title: `Lead ${n}`, contact_id });
  await run('PATCH /api/leads/{id}', { title: 'Retitled' }, lead.id);
  await run('POST /api/leads/{id}/stage', { stage_id: caller.stages.active[1] }, lead.id);
  for (const step of ['won', 'lost', 'archive', 'unarchive', 'restore'])
    await run(`POST /api/leads/{id}/${step}`, {}, lead.id);
  await run('POST /api/leads/bulk', { action: 'archive', ids: [lead.id] });
  await run('POST /api/tags/{id}/assign', { leads: [lead.id] }, tag.id);
  await run('POST /api/tags/{id}/remove', { leads: [lead.id] }, tag.id);
  await run('DELETE /api/leads/{id}', undefined, lead.id);
  await run('DELETE /api/tags/{id}', undefined, tag.id);
}

async function writePipelines(run: Run, { n }: World): Promise<void> {
  const pipeline = await run('POST /api/pipelines', { name: `Pipeline ${n}` });
  const stage = await run('POST /api/pipeline_stages', { pipeline_id: pipeline.id, name: 'New' });
  await run('PATCH /api/pipeline_stages/{id}', { name: 'Newer' }, stage.id);
  await run('DELETE /api/pipeline_stages/{id}', undefined, stage.id);
  const stages = pipeline.stages.map(({ id, name }: { id: number; name: string }) => ({
    id,
    name,
  }));
  await run('PUT /api/pipelines/{id}/stages', { stages }, pipeline.id);
  await run('PATCH /api/pipelines/{id}', { name: 'Renamed' }, pipeline.id);
  await run('DELETE /api/pipelines/{id}', undefined, pipeline.id);
}

async function writeMembers(run: Run, { n }: World): Promise<void> {
  const role = await run('POST /api/roles', { name: `Role ${n}`, permissions: ['leads'] });
  await run('PATCH /api/roles/{id}', { permissions: ['tags'] }, role.id);
  const user = await run('POST /api/users', {
    username: `user-${n}`,
    display_name: 'Somebody',
    password: 'long enough',
    role_id: role.id,
  });
  await run('PATCH /api/users/{id}', { display_name: 'Somebody else' }, user.id);
  await run('PATCH /api/memberships/{id}', { is_default: true }, user.membership_id);
  await run('DELETE /api/memberships/{id}', undefined, user.membership_id);
  await run('POST /api/memberships', { user_id: user.id, role_id: role.id });
  await run('DELETE /api/users/{id}', undefined, user.id);
  await run('DELETE /api/roles/{id}', undefined, role.id);
}

async function writeAccounts(run: Run, { n }: World): Promise<void> {
  const account = await run('POST /api/accounts', { name: `Account ${n}`, slug: `account-${n}` });
  await run('PATCH /api/accounts/{id}', { plan: 'gold' }, account.id);
  await run('DELETE /api/accounts/{id}', undefined, account.id);
  await run('PATCH /api/account', { name: `Renamed ${n}` });
}

async function writeKeys(run: Run, { n }: World): Promise<void> {
  const key = await run('POST /api/api_keys', { name: `Robot ${n}`, permissions: ['leads'] });
  await run('PATCH /api/api_keys/{id}', { name: `Robot ${n} again` }, key.id);
  await run('POST /api/api_keys/{id}/revoke', undefined, key.id);
  await run('DELETE /api/api_keys/{id}', undefined, key.id);
}

async function writeFiles(run: Run): Promise<void> {
  const file = await run('POST /api/media', formOf('file', 'some bytes'));
  await run('PATCH /api/media/{id}', { filename: 'list.txt' }, file.id);
  await run('DELETE /api/media/{id}', undefined, file.id);
}

async function writeDevices(run: Run, { n }: World): Promise<void> {
  const { id } = await run('POST /api/devices', { name: `Phone ${n}` });
  await run('PATCH /api/devices/{id}', { name: `Phone ${n} again` }, id);
  await run('POST /api/devices/{id}/connect', undefined, id);
  await run('POST /api/devices/{id}/pairing', { kind: 'qr' }, id);
  await run('DELETE /api/devices/{id}/pairing', undefined, id);
  await run('POST /api/devices/{id}/disconnect', undefined, id);
  await run('POST /api/devices/{id}/logout', undefined, id);
  await run('DELETE /api/devices/{id}', undefined, id);
  await run('POST /ops/devices/versions', { version: `2.3000.${1_000_000 + n}` });
}

async function writeChats(run: Run, { caller, n }: World): Promise<void> {
  const phone = `+51 987 654 30${n}`;
  const { id } = await run('POST /api/chats', { device_id: caller.deviceIds[1], phone });
  await run('PATCH /api/chats/{id}', { is_pinned: true }, id);
  await run('POST /api/chats/{id}/read', undefined, id);
  await run('POST /api/chats/{id}/unread', undefined, id);
  await run('DELETE /api/chats/{id}', undefined, id);
}

async function writeMessages(run: Run, { api, caller }: World): Promise<void> {
  const [chatId, otherChatId] = caller.chatIds;
  const message = await run('POST /api/chats/{id}/messages', { kind: 'text', body: 'Hi' }, chatId);
  // As the worker that holds the device would say.
  await api.owner.query(
    sql`update public.messages set status = 'sent', sent_at = now() where id = ${message.id}`,
  );
  await run('POST /api/messages/{id}/reaction', { emoji: '👍' }, message.id);
  await run('POST /api/messages/{id}/forward', { to: [{ chat_id: otherChatId }] }, message.id);
  await run('POST /api/messages/{id}/edit', { body: 'Hello' }, message.id);
  await run('POST /api/messages/{id}/revoke', undefined, message.id);
}

async function writeSalesTools(run: Run, { caller, n }: World): Promise<void> {
  const contact_id = caller.contactIds[0];
  const call = await run('POST /api/interactions', { kind: 'call', contact_id, notes: 'Busy' });
  await run('PATCH /api/interactions/{id}', { notes: 'Nobody there' }, call.id);
  await run('DELETE /api/interactions/{id}', undefined, call.id);
  const reply = { shortcut: `s${n}`, title: 'Greeting', body: 'Hello' };
  const { id } = await run('POST /api/quick_replies', reply);
  await run('PATCH /api/quick_replies/{id}', { body: 'Good morning' }, id);
  await run('DELETE /api/quick_replies/{id}', undefined, id);
}

async function writeCampaigns(run: Run, { api, caller, n }: World): Promise<void> {
  const device_id = caller.deviceIds[0];
  const body = { name: `News ${n}`, device_id, template: 'Hello {{name}}' };
  const { id } = await run('POST /api/campaigns', body);
  await run('PATCH /api/campaigns/{id}', { name: `More news ${n}` }, id);
  const [contact_id, other] = caller.contactIds;
  await run('POST /api/campaigns/{id}/recipients', { contact_ids: [contact_id, other] }, id);
  const [last] = await api.owner.query(
    sql`select max(id) as id from public.campaign_recipients where campaign_id = ${id}`,
  );
  await run('DELETE /api/campaigns/{id}/recipients', { ids: [Number(last?.['id'])] }, id);
  await run('POST /api/campaigns/{id}/start', undefined, id);
  await run('POST /api/campaigns/{id}/pause', undefined, id);
  await run('POST /api/campaigns/{id}/cancel', undefined, id);
  await run('DELETE /api/campaigns/{id}', undefined, id);
}

async function writeImports(run: Run): Promise<void> {
  const csv = 'name,phone\nAna,+51 987 654 321\n';
  await run('POST /api/imports/preview', formOf('file', csv));
  const { id } = await run('POST /api/imports', formOf('file', csv));
  await run('POST /api/imports/{id}/cancel', undefined, id);
}

async function writeKommo(run: Run, { n }: World): Promise<void> {
  const { id } = await run('POST /api/kommo/connections', {
    subdomain: `cafe${n}`,
    access_token: 'eyJhbGciOiJSUzI1NiJ9.e30.c2lnbmF0dXJl',
  });
  await run('PUT /api/kommo/connections/{id}/pipelines', { connected_ids: [] }, id);
  await run('POST /api/kommo/connections/{id}/full-sync', undefined, id);
  await run('POST /api/kommo/connections/{id}/cancel', undefined, id);
  await run('POST /api/kommo/connections/{id}/test', undefined, id);
  const { path } = await run('POST /api/kommo/connections/{id}/webhook', {}, id);
  const hint = new URLSearchParams({ 'leads[update][0][id]': '5' });
  await run('POST /api/kommo/webhook/{secret}', hint, String(path).split('/').at(-1));
  await run('POST /api/kommo/connections/{id}/disconnect', undefined, id);
  await run('DELETE /api/kommo/connections/{id}', undefined, id);
}

async function writeSessions(
  answers: Map<string, Answer>,
  run: Run,
  { api, caller, username }: World,
): Promise<void> {
  const login = await api.ask(undefined, 'POST', '/api/auth/login', {
    body: { username, password: PASSWORD },
  });
  answers.set('POST /api/auth/login', login);
  await run('POST /api/auth/refresh', { refresh_token: login.body.refresh_token });
  await run('POST /api/auth/switch-account', { account_id: caller.accountId });
  const [open] = await api.owner.query(sql`
    insert into public.sessions (account_id, user_id, expires_at)
    values (${caller.accountId}, ${caller.userId}, now() + interval '1 day')
    returning id`);
  await run('DELETE /api/sessions/{id}', undefined, open?.['id']);
  const session = { token: await api.tokenOf(caller) };
  answers.set('POST /api/auth/logout', await api.ask(session, 'POST', '/api/auth/logout'));
  await run('POST /api/auth/password', { password: PASSWORD, new_password: PASSWORD });
}
