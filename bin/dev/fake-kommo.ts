import { choosePort } from '../../platform/services/ports.ts';
import { poll } from '../../platform/services/processes.ts';
import { loadFake } from '../roles.ts';
import { callApi } from './call-api.ts';
import type { Ready } from './greeting.ts';

export type DevKommo = {
  /** Of its program interface, for the roles. */
  readonly environment: Readonly<Record<string, string>>;
  readonly admin: string;
  readonly token: string;
  stop(): Promise<void>;
};

type Opened = {
  readonly fake: { readonly url: string };
  readonly access: { readonly longLivedToken: string };
  readonly stop: () => Promise<void>;
};
type Module = {
  readonly openFakeKommo: (wishes: Readonly<Record<string, unknown>>) => Promise<Opened>;
};

const PORT = 4790;
const SUBDOMAIN = 'demo';
const WISHES = { subdomain: SUBDOMAIN, leads: 300, contacts: 250, seed: 1, edits: 20 };
const PIPELINES_TIMEOUT_MS = 60_000;

/** A fake Kommo in this process, in which twenty things happen in a minute. */
export async function startDevKommo(): Promise<DevKommo> {
  const { openFakeKommo } = await loadFake<Module>('kommo/main.ts');
  const port = await choosePort('127.0.0.1', PORT);
  const { fake, access, stop } = await openFakeKommo({ ...WISHES, port });
  return {
    environment: { KOMMO_URL: `${fake.url}/{subdomain}` },
    admin: `${fake.url}/__admin/accounts/${SUBDOMAIN}`,
    token: access.longLivedToken,
    stop,
  };
}

/**
 * The demo account is connected as a person would do it: the token, then every pipeline that the worker has found.
 * @throws Error when the API refuses, or no pipelines come within a minute.
 */
export async function connectDemo(ready: Ready, { token }: DevKommo): Promise<void> {
  const login = await callApi<{ token: string }>(ready, 'POST /api/auth/login', ready.login);
  const connections = '/api/kommo/connections';
  const connecting = { subdomain: SUBDOMAIN, access_token: token };
  const { data } = await callApi<Row>(ready, `POST ${connections}`, connecting, login.token);
  const path = `${connections}/${data.id}/pipelines`;
  const found = await poll(
    async () => {
      const list = await callApi<Rows>(ready, `GET ${path}`, undefined, login.token);
      return list.data.length > 0 ? { value: list.data } : undefined;
    },
    { timeoutMs: PIPELINES_TIMEOUT_MS, everyMs: 500 },
  );
  if (!found) throw new Error('the worker found no pipelines in the fake Kommo');
  const body = { connected_ids: found.value.map(({ id }) => id) };
  await callApi(ready, `PUT ${path}`, body, login.token);
}

type Row = { readonly data: { readonly id: number } };
type Rows = { readonly data: readonly { readonly id: number }[] };
