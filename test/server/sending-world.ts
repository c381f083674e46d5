import { sql } from '../../platform/sql.ts';
import { startTestApi, type Answer, type Caller, type TestApi } from './support.ts';

type By = { readonly token: string };

/** An account with something to send by, and another one. */
export type SendingWorld = {
  readonly api: TestApi;
  readonly one: Caller;
  readonly two: Caller;
  /** The fixture's conversation, on the second device. */
  readonly chatId: number;
  /** A stored file of the first account. */
  readonly mediaId: number;
  /** To the conversation by the first account, where nothing else is said. */
  readonly send: (body: object, chat?: number, caller?: By) => Promise<Answer>;
  readonly act: (messageId: number, verb: string, body?: object, caller?: By) => Promise<Answer>;
  /** A message of theirs and one of ours, sent just now. */
  readonly say: () => Promise<{ inbound: number; own: number }>;
  readonly countMessages: () => Promise<number>;
  /** Statements since the list was emptied, without the one that asks who is calling. */
  readonly ownStatements: () => string[];
};

export async function startSendingWorld(): Promise<SendingWorld> {
  const api = await startTestApi();
  const one = await api.account('one');
  const two = await api.account('two');
  const { accountId } = one;
  const chatId = one.chatIds[0] ?? 0;
  const [file] = await api.owner.query(
    sql`select id from public.media where account_id = ${accountId}`,
  );
  return {
    api,
    one,
    two,
    chatId,
    mediaId: Number(file?.['id']),
    send: (body, chat = chatId, caller = one) =>
      api.ask(caller, 'POST', `/api/chats/${chat}/messages`, { body }),
    act: (id, verb, body, caller = one) =>
      api.ask(caller, 'POST', `/api/messages/${id}/${verb}`, { body }),
    say: async () => {
      const rows = await api.owner.query(sql`
        insert into public.messages (account_id, chat_id, body, is_from_me, status)
        values (${accountId}, ${chatId}, 'Theirs', false, 'received'), (${accountId}, ${chatId}, 'Ours', true, 'sent')
        returning id`);
      const [inbound = 0, own = 0] = rows.map((row) => Number(row['id']));
      return { inbound, own };
    },
    countMessages: async () => {
      const [row] = await api.owner.query(
        sql`select count(*) as n from public.messages where account_id = ${accountId}`,
      );
      return Number(row?.['n']);
    },
    ownStatements: () => api.statements.filter((text) => !text.includes('public.sessions')),
  };
}

/** Status and reason of a refusal. */
export function reasonOf({ status, body }: Answer): [status: number, reason: unknown] {
  return [status, body.details?.reason];
}
