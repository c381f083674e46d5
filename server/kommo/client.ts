import type { z } from 'zod';
import { createCaller } from './call.ts';
import * as documents from './documents.ts';
import type {
  KommoAccount,
  KommoContact,
  KommoDeletedLead,
  KommoEvent,
  KommoLead,
  KommoPipeline,
  KommoTag,
  KommoUser,
} from './documents.ts';
import { KommoError } from './errors.ts';
import type { Lane } from './limiter.ts';
import type { KommoMeans } from './means.ts';
import { createPlace } from './place.ts';
import { createLists, listOf, type KommoPage } from './lists.ts';
import type { ListQuery } from './query.ts';
import { createSender } from './sender.ts';
import { createTokenSource } from './token-source.ts';

const LEADS = listOf('leads', 'leads', documents.lead);
const DELETED_LEADS = listOf('leads', 'leads', documents.deletedLead);
const CONTACTS = listOf('contacts', 'contacts', documents.contact);
const EVENTS = listOf('events', 'events', documents.event);
const PIPELINES = listOf('leads/pipelines', 'pipelines', documents.pipeline);
const LEAD_TAGS = listOf('leads/tags', 'tags', documents.tag);
const CONTACT_TAGS = listOf('contacts/tags', 'tags', documents.tag);
const USERS = listOf('users', 'users', documents.user);

/**
 * Reads one Kommo account. Every call waits for its turn and throws KommoError when it comes to nothing, ClarinError when
 * Postgres is away, the signal's reason once that is aborted.
 */
export type KommoClient = {
  /** `with` is for the caller to choose: `contacts`, `loss_reason`. */
  leads(query: ListQuery, lane: Lane): Promise<KommoPage<KommoLead>>;
  deletedLeads(query: ListQuery, lane: Lane): Promise<KommoPage<KommoDeletedLead>>;
  contacts(query: ListQuery, lane: Lane): Promise<KommoPage<KommoContact>>;
  /** With its contacts and the reason of its loss. Undefined: there is no such lead, and the account is there. */
  lead(id: number, lane: Lane): Promise<KommoLead | undefined>;
  contact(id: number, lane: Lane): Promise<KommoContact | undefined>;
  events(query: ListQuery, lane: Lane): Promise<KommoPage<KommoEvent>>;
  /** All of them; so do the next two. */
  pipelines(lane: Lane): Promise<readonly KommoPipeline[]>;
  tags(entity: 'leads' | 'contacts', lane: Lane): Promise<readonly KommoTag[]>;
  /** Undefined: whoever connected it is not an administrator there. */
  users(lane: Lane): Promise<readonly KommoUser[] | undefined>;
  account(lane: Lane): Promise<KommoAccount>;
  /** Somebody has connected it anew: the tokens are read again. */
  forgetTokens(): void;
  /** HTTP requests that have left so far. */
  requests(): number;
  /** Differs from the connection's once the account has been renamed and found again. */
  subdomain(): string;
};

type Options = KommoMeans & {
  readonly connection: {
    readonly id: number;
    readonly accountId: number;
    readonly subdomain: string;
  };
  readonly signal: AbortSignal;
};

export function createKommoClient({ connection, signal, ...given }: Options): KommoClient {
  const { id: connectionId, accountId, subdomain } = connection;
  const means = {
    ...given,
    log: given.log.child({ account: accountId, connection: connectionId }),
  };
  const sender = createSender(means, { connectionId, signal });
  const place = createPlace(means, sender, subdomain);
  const where = { connection: { accountId, connectionId }, place, sender, signal };
  const tokens = createTokenSource(means, where);
  const call = createCaller(means, { ...where, tokens });
  const lists = createLists(call);
  const account = async (lane: Lane): Promise<KommoAccount> => {
    const { value } = await call({ lane, path: '/api/v4/account', document: documents.account });
    if (!value) throw new KommoError('malformed', 'Kommo says nothing about the account.');
    return value;
  };
  const row = async <T>(
    path: string,
    document: z.ZodType<T>,
    lane: Lane,
  ): Promise<T | undefined> => {
    for (;;) {
      const before = place.subdomain();
      const ask = call({ lane, path, document, isOfRow: true });
      const found = await ask.catch((error: unknown) => {
        if (error instanceof KommoError && error.kind === 'not_found') return undefined;
        throw error;
      });
      if (found) return found.value;
      // No word of whether the row is not there or the account: without the account this throws.
      await account(lane);
      if (place.subdomain() === before) return undefined;
    }
  };
  return {
    leads: (query, lane) => lists.page(LEADS, query, lane),
    deletedLeads: (query, lane) =>
      lists.page(DELETED_LEADS, { ...query, with: ['only_deleted'] }, lane),
    contacts: (query, lane) => lists.page(CONTACTS, query, lane),
    events: (query, lane) => lists.page(EVENTS, query, lane),
    lead: (id, lane) =>
      row(`/api/v4/leads/${Number(id)}?with=contacts%2Closs_reason`, documents.lead, lane),
    contact: (id, lane) => row(`/api/v4/contacts/${Number(id)}`, documents.contact, lane),
    pipelines: (lane) => lists.all(PIPELINES, lane),
    tags: (entity, lane) => lists.all(entity === 'leads' ? LEAD_TAGS : CONTACT_TAGS, lane),
    users: (lane) =>
      lists.all(USERS, lane).catch((error: unknown) => {
        if (error instanceof KommoError && error.kind === 'forbidden') return undefined;
        throw error;
      }),
    account,
    forgetTokens: () => tokens.forget(),
    requests: () => sender.requests(),
    subdomain: () => place.subdomain(),
  };
}
