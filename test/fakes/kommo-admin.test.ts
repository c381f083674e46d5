import { describe, expect, it } from 'vitest';
import { createVirtualClock } from '../../fakes/kommo/clock.ts';
import { START_SECONDS, startAcme } from './support.ts';

describe('the admin interface', () => {
  it('makes accounts and lists them', async () => {
    const { admin, call } = await startAcme();
    const made = await admin('POST', 'accounts', { subdomain: 'other', country: 'MX' });
    expect(made.body).toMatchObject({ subdomain: 'other', accessToken: expect.any(String) });
    const headers = { authorization: `Bearer ${String(made.body?.['longLivedToken'])}` };
    const account = await call('/other/api/v4/account', { headers });
    expect(account.body).toMatchObject({ country: 'MX' });
    const list = JSON.parse((await admin('GET', 'accounts')).text) as unknown;
    expect(list).toMatchObject([{ subdomain: 'acme' }, { subdomain: 'other' }]);
    expect((await admin('POST', 'accounts', { subdomain: 'other' })).status).toBe(409);
    expect((await admin('POST', 'accounts', { subdomain: 'No Name' })).status).toBe(400);
  });

  it('makes, changes, tags, links, deletes, restores and purges leads and contacts', async () => {
    const { admin, get, world } = await startAcme();
    const of = 'accounts/acme';
    const contact = await admin('POST', `${of}/contacts`, { name: 'Rosa', phones: ['987654321'] });
    const id = Number(contact.body?.['id']);
    const lead = await admin('POST', `${of}/leads`, { name: 'Uno', contactIds: [id] });
    const one = `${of}/leads/${String(lead.body?.['id'])}`;
    const leadId = Number(lead.body?.['id']);
    expect(lead.body).toMatchObject({ name: 'Uno', created_at: START_SECONDS });
    expect((await admin('PATCH', one, { price: 9 })).body).toMatchObject({ price: 9 });
    expect((await admin('POST', `${one}/tag`, { tags: ['VIP'] })).body).toMatchObject({
      _embedded: { tags: [{ name: 'VIP' }] },
    });
    await admin('POST', `${one}/untag`, { tags: ['VIP'] });
    await admin('POST', `${one}/unlink`, { contactId: id });
    const linked = await admin('POST', `${one}/link`, { contactId: id, isMain: true });
    expect(linked.body).toMatchObject({
      _embedded: { tags: [], contacts: [{ id, is_main: true }] },
    });
    await admin('POST', `${one}/touch`);
    expect((await admin('DELETE', one)).status).toBe(204);
    expect((await get('leads')).status).toBe(204);
    expect((await admin('GET', one)).body).toMatchObject({ is_deleted: true });
    expect((await admin('POST', `${one}/restore`)).body).toMatchObject({ is_deleted: false });
    expect((await get('leads')).ids).toEqual([leadId]);
    const other = await admin('POST', `${of}/contacts`, { name: 'Rosita' });
    const merge = { into: id, from: other.body?.['id'] };
    expect((await admin('POST', `${of}/contacts/merge`, merge)).body).toMatchObject({ id });
    expect(world.contacts.count).toBe(1);
    expect((await admin('POST', `${one}/purge`)).status).toBe(204);
    expect((await admin('GET', one)).status).toBe(409);
  });

  it('generates, edits in bulk and at random, and shows everything as it is, hidden or late', async () => {
    const { admin, world } = await startAcme();
    const of = 'accounts/acme';
    const made = await admin('POST', `${of}/generate`, { leads: 30, contacts: 20, seed: 4 });
    expect(made.body).toEqual({ leads: 30, contacts: 20 });
    const settings = { hiddenShare: 1, listDelayMs: [60_000, 60_000] };
    expect((await admin('PATCH', `${of}/settings`, settings)).body).toMatchObject(settings);
    const bulk = await admin('POST', `${of}/leads/bulk`, { count: 5, patch: { price: 123 } });
    const ids = bulk.body?.['ids'] as number[];
    expect(ids).toHaveLength(5);
    const edits = await admin('POST', `${of}/edits`, { count: 10, seed: 1 });
    expect(JSON.parse(edits.text)).toHaveLength(10);
    type Shown = { id: number; price: number };
    const first = JSON.parse((await admin('GET', `${of}/leads?limit=10`)).text) as Shown[];
    const after = `${of}/leads?after=${first.at(-1)?.id}`;
    const rest = JSON.parse((await admin('GET', after)).text) as Shown[];
    const shown = [...first, ...rest];
    expect(shown.map(({ id }) => id)).toEqual(Array.from(world.leads.all(), ({ id }) => id));
    const account = (await admin('GET', of)).body;
    expect(account).toMatchObject({ subdomain: 'acme', leads: world.leads.count });
    expect((await admin('PATCH', `${of}/settings`, { hidden: 1 })).status).toBe(400);
    expect(world.settings.hiddenShare).toBe(1);
  });

  it('changes pipelines, stages, tags, people, fields, reasons and incoming leads', async () => {
    const { admin, world, get } = await startAcme();
    const of = 'accounts/acme';
    const pipeline = await admin('POST', `${of}/pipelines`, { name: 'X', stages: [{ name: 'A' }] });
    const one = `${of}/pipelines/${String(pipeline.body?.['id'])}`;
    await admin('PATCH', one, { name: 'Y' });
    const stage = await admin('POST', `${one}/stages`, { name: 'B' });
    await admin('PATCH', `${one}/stages/${String(stage.body?.['id'])}`, { color: '#123456' });
    const own = world.pipelines.list()[2]?.stages.filter(({ isEditable }) => isEditable) ?? [];
    const reversed = own.map(({ id }) => id).toReversed();
    await admin('POST', `${one}/stages/order`, { ids: reversed });
    const shown = (await get('leads/pipelines')).rows[2];
    expect(shown).toMatchObject({ name: 'Y' });
    const { statuses = [] } = (shown?.['_embedded'] ?? {}) as { statuses?: unknown[] };
    expect(statuses.slice(1, 3)).toMatchObject([{ name: 'B', color: '#123456' }, { name: 'A' }]);
    await admin('DELETE', `${one}/stages/${reversed[0]}`);
    const order = world.pipelines.list().map(({ id }) => id);
    await admin('POST', `${of}/pipelines/order`, { ids: order.toReversed() });
    await admin('DELETE', one);
    expect(world.pipelines.list().map(({ id }) => id)).toEqual([order[1], order[0]]);

    const tag = await admin('POST', `${of}/tags`, { entity: 'contacts', name: 'VIP' });
    const tagPath = `${of}/tags/contacts/${String(tag.body?.['id'])}`;
    expect((await admin('PATCH', tagPath, { name: 'Otro' })).body).toMatchObject({ name: 'Otro' });
    expect((await get('contacts/tags')).rows).toMatchObject([{ name: 'Otro' }]);
    await admin('DELETE', tagPath);
    expect(JSON.parse((await admin('GET', `${of}/tags/contacts`)).text)).toEqual([]);

    const user = await admin('POST', `${of}/users`, { name: 'Eva', email: 'eva@example.com' });
    const userPath = `${of}/users/${String(user.body?.['id'])}`;
    expect((await admin('PATCH', userPath, { name: 'Eva M' })).body).toMatchObject({
      name: 'Eva M',
    });
    await admin('DELETE', userPath);
    expect(JSON.parse((await admin('GET', `${of}/users`)).text)).toHaveLength(2);

    const field = { entity: 'leads', name: 'Talla', type: 'text' };
    const fieldId = String((await admin('POST', `${of}/fields`, field)).body?.['id']);
    expect((await admin('PATCH', `${of}/fields/${fieldId}`, { name: 'T' })).status).toBe(204);
    expect((await admin('DELETE', `${of}/fields/${fieldId}`)).status).toBe(204);
    const reason = await admin('POST', `${of}/loss-reasons`, { name: 'Lejos' });
    const reasonPath = `${of}/loss-reasons/${String(reason.body?.['id'])}`;
    expect((await admin('PATCH', reasonPath, { name: 'Cerca' })).status).toBe(204);
    expect((await admin('DELETE', reasonPath)).status).toBe(204);

    const incoming = async () =>
      String((await admin('POST', `${of}/unsorted`, { lead: { name: 'Web' } })).body?.['uid']);
    expect((await admin('POST', `${of}/unsorted/${await incoming()}/accept`)).status).toBe(204);
    expect((await admin('POST', `${of}/unsorted/${await incoming()}/decline`)).status).toBe(204);
    expect((await get('leads')).rows).toMatchObject([{ name: 'Web' }]);
  });

  it('gives and takes tokens, and renames', async () => {
    const { admin, call, get, world, access } = await startAcme();
    const of = 'accounts/acme';
    const code = await admin('POST', `${of}/tokens`, { kind: 'code' });
    expect(code.body).toMatchObject({ code: expect.any(String) });
    const pair = await admin('POST', `${of}/tokens`, { kind: 'pair' });
    const long = await admin('POST', `${of}/tokens`, { kind: 'long-lived', days: 1 });
    const given = [pair.body?.['accessToken'], long.body?.['longLivedToken']];
    for (const token of given) {
      const headers = { authorization: `Bearer ${String(token)}` };
      expect((await get('account', { headers })).status).toBe(200);
    }
    await admin('POST', `${of}/tokens/revoke`, { token: access.accessToken });
    expect((await get('account')).status).toBe(401);
    await admin('POST', `${of}/tokens/revoke`, {});
    const headers = { authorization: `Bearer ${String(given[1])}` };
    expect((await get('account', { headers })).status).toBe(401);
    expect((await admin('POST', `${of}/rename`, { subdomain: 'better' })).status).toBe(204);
    expect((await call('/acme/api/v4/account')).status).toBe(404);
    expect(world.subdomain).toBe('better');
    expect((await admin('GET', of)).status).toBe(404);
  });

  it('sets faults and limits, and shows what was asked', async () => {
    const { admin, get, fake } = await startAcme();
    const fault = { endpoint: 'account', times: 1, does: { kind: 'status', status: 503 } };
    const { id } = JSON.parse((await admin('POST', 'faults', fault)).text) as { id: number };
    expect(JSON.parse((await admin('GET', 'faults')).text)).toMatchObject([{ id, hits: 0 }]);
    expect((await get('account')).status).toBe(503);
    expect((await admin('DELETE', `faults/${id}`)).status).toBe(409);
    await admin('POST', 'faults', { ...fault, times: 5 });
    expect((await admin('DELETE', 'faults')).status).toBe(204);
    expect((await get('account')).status).toBe(200);
    expect((await admin('POST', 'faults', { does: { kind: 'magic' } })).status).toBe(400);

    const peaks = (await admin('GET', 'requests/peaks')).body;
    expect(peaks).toMatchObject({ count: 2, mostInAnySecond: { '127.0.0.1': expect.any(Number) } });
    const list = JSON.parse((await admin('GET', 'requests?status=503')).text) as unknown;
    expect(list).toMatchObject([{ number: 1, endpoint: 'account', faults: ['status'] }]);
    await admin('DELETE', 'requests');
    expect(fake.requests.list()).toEqual([]);

    expect((await admin('PATCH', 'limiter', { perSecond: 1 })).body).toMatchObject({
      perSecond: 1,
    });
    expect((await admin('GET', 'limiter')).body).toMatchObject({ perSecond: 1 });
    await admin('POST', 'limiter/ban', { address: '127.0.0.1', seconds: 60 });
    expect((await get('account')).status).toBe(403);
    await admin('POST', 'limiter/forgive');
    expect((await get('account')).status).toBe(200);
    expect((await admin('PATCH', 'limiter', { perSecond: 0 })).status).toBe(400);
  });

  it('advances a virtual clock, of the world and of the wire, and no real one', async () => {
    const wireClock = createVirtualClock(0);
    const { admin, clock } = await startAcme({ wireClock });
    const ms = START_SECONDS * 1_000;
    expect((await admin('GET', 'clock')).body).toEqual({ nowMs: ms, isVirtual: true });
    expect((await admin('POST', 'clock', { ms: 2_500 })).body).toEqual({ nowMs: ms + 2_500 });
    expect([clock.now(), wireClock.now()]).toEqual([ms + 2_500, 2_500]);
    const same = createVirtualClock(ms);
    const shared = await startAcme({ clock: same, wireClock: same });
    await shared.admin('POST', 'clock', { ms: 1_000 });
    expect(same.now()).toBe(ms + 1_000);
    const after = () => () => undefined;
    const real = await startAcme({ clock: { now: () => Date.now(), after } });
    expect((await real.admin('POST', 'clock', { ms: 1 })).status).toBe(409);
  });

  it('says what is wrong with a question, and is met by no limit and no fault', async () => {
    const { admin, call, fake } = await startAcme({ limiter: { perSecond: 1, banAfter: 1 } });
    fake.faults.add({ does: { kind: 'reset' } });
    for (let count = 0; count < 5; count += 1) {
      expect((await admin('GET', 'accounts')).status).toBe(200);
    }
    expect(fake.requests.count).toBe(0);
    expect((await admin('GET', 'nothing')).body).toMatchObject({ error: expect.any(String) });
    expect((await admin('GET', 'accounts/nobody')).status).toBe(404);
    const typo = await admin('POST', 'accounts/acme/leads', { nme: 'x' });
    expect([typo.status, typo.text]).toEqual([400, expect.stringContaining('nme')]);
    const broken = await call('/__admin/faults', { method: 'POST', body: '{' });
    expect(broken.status).toBe(400);
    expect((await admin('GET', 'accounts/acme/deliveries')).text).toBe('[]');
  });
});
