import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { describe, expect, it, onTestFinished } from 'vitest';
import { createVirtualClock } from '../../fakes/kommo/clock.ts';
import { eventually } from '../support/eventually.ts';
import { startAcme, type Acme } from './support.ts';

const MINUTE = 60_000;

type Receiver = {
  status: number | undefined;
  url: string;
  readonly forms: URLSearchParams[];
  readonly types: (string | undefined)[];
};

/** Somebody who is told; answers with `status`, with none not at all. */
async function startReceiver(status = 200): Promise<Receiver> {
  const forms: URLSearchParams[] = [];
  const receiver: Receiver = { status, forms, types: [], url: '' };
  const server = createServer((request, response) => {
    let text = '';
    request.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
    request.on('end', () => {
      forms.push(new URLSearchParams(text));
      receiver.types.push(request.headers['content-type']);
      if (receiver.status === undefined) return;
      // A good answer elsewhere is none here.
      response.writeHead(receiver.status, { location: '/' }).end();
    });
  });
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve));
  onTestFinished(
    () =>
      new Promise<void>((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  );
  receiver.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/hook/secret`;
  return receiver;
}

function subscribe({ get }: Acme, destination: string, settings: readonly string[]) {
  return get('webhooks', { method: 'POST', body: JSON.stringify({ destination, settings }) });
}

/** Waits for so many attempts, and gives the last one. */
async function delivered({ world }: Acme, count: number) {
  return eventually(() => world.webhooks.deliveries.length >= count && world.webhooks.deliveries, {
    says: `${count} deliveries`,
  }).then((list) => {
    expect(list).toHaveLength(count);
    return list.at(-1);
  });
}

/**
 * Nothing but what was delivered so far is under way: posts to one destination go one behind the other, and the next one is
 * that of a new lead.
 */
async function expectNoMore(acme: Acme, count: number): Promise<void> {
  acme.world.leads.create({});
  expect(await delivered(acme, count + 1)).toMatchObject({ attempt: 1 });
}

describe('webhooks', () => {
  it('are set once for a destination, listed and taken away', async () => {
    const acme = await startAcme();
    const destination = 'http://127.0.0.1:9/hook';
    const made = await subscribe(acme, destination, ['add_lead', 'task_added']);
    expect(made.status).toBe(201);
    expect(made.body).toMatchObject({ destination, settings: ['add_lead'], disabled: false });
    const again = await subscribe(acme, destination, ['update_lead']);
    expect(again.body).toMatchObject({ id: made.body?.['id'], settings: ['update_lead'] });
    expect((await acme.get('webhooks')).rows).toEqual([again.body]);
    const filtered = `webhooks?filter[destination]=${encodeURIComponent('http://x')}`;
    expect((await acme.get(filtered)).status).toBe(204);
    const remove = { method: 'DELETE', body: JSON.stringify({ destination }) };
    expect((await acme.get('webhooks', remove)).status).toBe(204);
    expect((await acme.get('webhooks', remove)).status).toBe(404);
    expect((await acme.get('webhooks')).status).toBe(204);
  });

  it('go to this machine only, need a destination and events, and are a hundred at most', async () => {
    const acme = await startAcme();
    for (const url of [
      'http://example.com/',
      'http://127.0.0.1.example.com/',
      'ftp://127.0.0.1/',
    ]) {
      expect([url, (await subscribe(acme, url, ['add_lead'])).status]).toEqual([url, 400]);
    }
    expect((await subscribe(acme, 'http://127.0.0.1:9/', [])).status).toBe(400);
    for (let count = 0; count < 100; count += 1) {
      acme.world.webhooks.set(`http://127.0.0.1:9/${count}`, ['add_lead']);
    }
    expect((await subscribe(acme, 'http://127.0.0.1:9/x', ['add_lead'])).status).toBe(422);
    expect((await subscribe(acme, 'http://127.0.0.1:9/5', ['add_lead'])).status).toBe(201);
  });

  it('post what happened as a form, everything as text, what happens at once in one', async () => {
    const acme = await startAcme();
    const { world } = acme;
    const receiver = await startReceiver();
    const { id } = world.leads.create({ name: 'Matrícula', tags: ['VIP'] });
    const contact = world.contacts.create({ name: 'Rosa', phones: ['+51987654321'] });
    const settings = ['update_lead', 'status_lead', 'delete_lead', 'update_contact'];
    await subscribe(acme, receiver.url, settings);
    const before = world.pipelines.main.stages[1]?.id;
    world.leads.update(id, { statusId: 142, price: 90 });
    world.contacts.update(contact.id, { firstName: 'Rosa', lastName: 'Quispe' });
    expect(await delivered(acme, 1)).toMatchObject({ attempt: 1, status: 200 });
    expect(receiver.types).toEqual(['application/x-www-form-urlencoded']);
    const form = Object.fromEntries(receiver.forms[0] ?? []);
    expect(form).toMatchObject({
      'leads[update][0][id]': String(id),
      'leads[update][0][name]': 'Matrícula',
      'leads[update][0][price]': '90',
      'leads[update][0][tags][0][name]': 'VIP',
      'leads[status][0][id]': String(id),
      'leads[status][0][status_id]': '142',
      'leads[status][0][old_status_id]': String(before),
      'leads[status][0][pipeline_id]': String(world.pipelines.main.id),
      'contacts[update][0][id]': String(contact.id),
      'contacts[update][0][type]': 'contact',
      'contacts[update][0][custom_fields][0][code]': 'PHONE',
      'contacts[update][0][custom_fields][0][values][0][value]': '+51987654321',
      'account[id]': String(world.id),
      'account[subdomain]': 'acme',
    });
    world.leads.delete(id);
    await delivered(acme, 2);
    expect(receiver.forms[1]?.get('leads[delete][0][id]')).toBe(String(id));
    // Nobody asked for new ones.
    world.leads.create({});
    world.leads.restore(id);
    world.leads.update(id, { price: 1 });
    await delivered(acme, 3);
    expect([...(receiver.forms[2]?.keys() ?? [])].filter((key) => /add|restore/.test(key))).toEqual(
      [],
    );
  });

  it('tell of incoming leads, and what became of them', async () => {
    const acme = await startAcme();
    const receiver = await startReceiver();
    await subscribe(acme, receiver.url, ['add_unsorted', 'delete_unsorted', 'add_lead']);
    const { uid, leadId } = acme.world.unsorted.add({});
    await delivered(acme, 1);
    expect(receiver.forms[0]?.get('unsorted[add][0][uid]')).toBe(uid);
    acme.world.unsorted.accept(uid);
    await delivered(acme, 2);
    const form = Object.fromEntries(receiver.forms[1] ?? []);
    expect(form).toMatchObject({
      'leads[add][0][id]': String(leadId),
      'unsorted[delete][0][action]': 'accept',
      'unsorted[delete][0][accept_result][leads][0]': String(leadId),
    });
  });

  it('carry fifty rows a post when many change at once', async () => {
    const acme = await startAcme();
    const receiver = await startReceiver();
    acme.world.generate({ leads: 120 });
    await subscribe(acme, receiver.url, ['update_lead']);
    const ids = acme.world.bulkEdit('leads', {});
    await delivered(acme, 3);
    const told = receiver.forms.flatMap((form) =>
      [...form].filter(([key]) => /^leads\[update\]\[\d+\]\[id\]$/.test(key)),
    );
    expect(told.map(([, id]) => Number(id))).toEqual(ids);
  });

  it('come again after 5, 15, 15 and 60 minutes, and then no more', async () => {
    const acme = await startAcme();
    const receiver = await startReceiver(302);
    await subscribe(acme, receiver.url, ['add_lead']);
    acme.world.leads.create({});
    expect(await delivered(acme, 1)).toMatchObject({ attempt: 1, status: 302 });
    let attempt = 1;
    for (const minutes of [5, 15, 15, 60]) {
      acme.clock.advance(minutes * MINUTE - 1);
      // What fell due too early would leave now, and say so.
      await acme.get('account');
      attempt += 1;
      acme.clock.advance(1);
      const delivery = await delivered(acme, attempt);
      expect(delivery).toMatchObject({ attempt, status: 302, atMs: acme.clock.now() });
    }
    expect(new Set(receiver.forms.map(String)).size).toBe(1);
    acme.clock.advance(24 * 60 * MINUTE);
    await expectNoMore(acme, 5);
  });

  it('end with the first good answer', async () => {
    const acme = await startAcme();
    const receiver = await startReceiver(500);
    await subscribe(acme, receiver.url, ['add_lead']);
    acme.world.leads.create({});
    await delivered(acme, 1);
    receiver.status = 204;
    acme.clock.advance(5 * MINUTE);
    expect(await delivered(acme, 2)).toMatchObject({ attempt: 2, status: 204 });
    acme.clock.advance(24 * 60 * MINUTE);
    await expectNoMore(acme, 2);
  });

  it('count two seconds without an answer, and nobody there, as a bad one', async () => {
    const wireClock = createVirtualClock(0);
    const acme = await startAcme({ wireClock });
    const silent = await startReceiver();
    silent.status = undefined;
    await subscribe(acme, silent.url, ['add_lead']);
    acme.world.leads.create({});
    await eventually(() => silent.forms.length === 1, { says: 'it is told' });
    wireClock.advance(1_999);
    await acme.get('account');
    expect(acme.world.webhooks.deliveries).toEqual([]);
    wireClock.advance(1);
    expect(await delivered(acme, 1)).toMatchObject({ status: undefined });
    acme.world.webhooks.remove(silent.url);
    await subscribe(acme, 'http://127.0.0.1:9/', ['add_lead']);
    acme.world.leads.create({});
    expect(await delivered(acme, 2)).toMatchObject({ status: undefined });
  });

  it('are disabled after more than a hundred bad answers in two hours, until they are set again', async () => {
    const acme = await startAcme();
    const receiver = await startReceiver(500);
    await subscribe(acme, receiver.url, ['add_lead']);
    for (let count = 1; count <= 101; count += 1) {
      acme.world.leads.create({});
      await delivered(acme, count);
      const [hook] = acme.world.webhooks.list();
      expect(hook?.isDisabled).toBe(count === 101);
    }
    acme.world.leads.create({});
    acme.clock.advance(3 * 60 * MINUTE);
    expect((await acme.get('webhooks')).rows[0]).toMatchObject({ disabled: true });
    receiver.status = 200;
    await subscribe(acme, receiver.url, ['add_lead']);
    await expectNoMore(acme, 101);
  });
});
