import { sql } from '../../platform/sql.ts';
import { idsOf } from '../support/conversation-fixture.ts';
import { startTestApi, type Answer, type Caller, type TestApi } from './support.ts';

type Person = Readonly<Record<string, unknown>>;

/** An account with a connected device, people to write to, and another account. */
export type CampaignWorld = {
  readonly api: TestApi;
  readonly one: Caller;
  readonly two: Caller;
  readonly deviceId: number;
  ask(method: string, path: string, body?: unknown, caller?: { token: string }): Promise<Answer>;
  /** Contacts with a phone and a name each, unless they say otherwise. */
  people(count: number, more?: Person): Promise<number[]>;
  /** A draft with these members. */
  draft(values?: Person): Promise<number>;
  add(campaignId: number, contactIds: readonly number[]): Promise<void>;
  /** A draft with so many people in it, started. */
  running(count: number, values?: Person): Promise<number>;
  read(campaignId: number): Promise<Record<string, unknown>>;
  /** `POST /api/campaigns/:id/<verb>`. */
  step(campaignId: number, verb: string, caller?: { token: string }): Promise<Answer>;
  addTo(campaignId: number, body: unknown, caller?: { token: string }): Promise<Answer>;
  patch(campaignId: number, body: unknown): Promise<Answer>;
  recipientsByApi(campaignId: number): Promise<Recipient[]>;
  /** As nobody may but SQL. */
  setStatus(campaignId: number, status: string): Promise<void>;
};

type Recipient = { id: number; contact_id: number; status: string; error?: string };

let phones = 0;

export async function startCampaignWorld(): Promise<CampaignWorld> {
  const api = await startTestApi();
  const one = await api.account('one');
  const two = await api.account('two');
  const [deviceId = 0] = one.deviceIds;
  const ask: CampaignWorld['ask'] = (method, path, body, caller = one) =>
    api.ask(caller, method, path, body === undefined ? {} : { body });
  const must = async (asking: Promise<Answer>): Promise<Answer> => {
    const answer = await asking;
    if (answer.status >= 300) throw new Error(answer.text);
    return answer;
  };
  const world: CampaignWorld = {
    api,
    one,
    two,
    deviceId,
    ask,
    people: (count, more = {}) => {
      const rows = Array.from({ length: count }, () => {
        const number = phones++;
        return { name: `Person ${number}`, phone: String(51_900_000_000 + number), ...more };
      });
      return idsOf(
        api.owner,
        sql`
          insert into public.contacts (account_id, name, push_name, phone, jid, lid, email, company, is_group, do_not_contact)
          select ${one.accountId}, name, push_name, phone, jid, lid, email, company, coalesce(is_group, false),
            coalesce(do_not_contact, false)
          from jsonb_to_recordset(${JSON.stringify(rows)}::jsonb) as person (
            name text, push_name text, phone text, jid text, lid text, email text, company text, is_group boolean,
            do_not_contact boolean
          )
          returning id`,
      );
    },
    draft: async (values = {}) => {
      const body = { name: 'News', device_id: deviceId, template: 'Hello {{name}}', ...values };
      return (await must(ask('POST', '/api/campaigns', body))).body.data.id;
    },
    add: async (id, contactIds) => {
      await must(ask('POST', `/api/campaigns/${id}/recipients`, { contact_ids: contactIds }));
    },
    running: async (count, values) => {
      const id = await world.draft(values);
      await world.add(id, await world.people(count));
      await must(ask('POST', `/api/campaigns/${id}/start`));
      return id;
    },
    read: async (id) => (await must(ask('GET', `/api/campaigns/${id}`))).body.data,
    step: (id, verb, caller) => ask('POST', `/api/campaigns/${id}/${verb}`, undefined, caller),
    addTo: (id, body, caller) => ask('POST', `/api/campaigns/${id}/recipients`, body, caller),
    patch: (id, body) => ask('PATCH', `/api/campaigns/${id}`, body),
    recipientsByApi: async (id) =>
      (await ask('GET', `/api/campaign_recipients?campaign_id=${id}&limit=200`)).body.data,
    setStatus: async (id, status) => {
      await api.owner.query(sql`update public.campaigns set status = ${status} where id = ${id}`);
    },
  };
  return world;
}
