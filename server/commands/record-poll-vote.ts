import { parseJid } from '../../domain/jid.ts';
import type { Queries } from '../../platform/postgres.ts';
import { sql } from '../../platform/sql.ts';
import { storableOptions } from './received-content.ts';

type Options = {
  readonly accountId: number;
  readonly chatId: number;
  /** The stanza of the poll. */
  readonly pollMessageId: string;
  /** Who voted; undefined: we did, by whichever device. */
  readonly voter: string | undefined;
  /** Names of the options chosen, as the poll has them; none: the vote is taken back. */
  readonly options: readonly string[];
  /** RFC 3339. */
  readonly votedAt: string;
};

/** `absent`: there is no such poll in the chat, or not yet. */
type RecordedVote = 'recorded' | 'known' | 'absent';

/** As in message_reactions: one name for us, and none for whoever cannot be named. */
const OURSELVES = 'me';

/**
 * Somebody's vote in a poll: one per voter, the newest. An older one never wins and the same again writes nothing. One
 * statement.
 */
export async function recordPollVote(tx: Queries, vote: Options): Promise<RecordedVote> {
  const { accountId, chatId, pollMessageId, voter, votedAt } = vote;
  const name = voter === undefined ? OURSELVES : (parseJid(voter)?.address ?? voter);
  const [row] = await tx.query(sql`
    with poll as (
      select id
      from public.messages
      where account_id = ${accountId} and chat_id = ${chatId} and message_id = ${pollMessageId}
        and message_type = 'poll'
    ), vote as (
      insert into public.poll_votes as known (account_id, target_id, chat_id, voter_jid, options, voted_at)
      select ${accountId}, poll.id, ${chatId}, ${name}, ${storableOptions(vote.options)}::text[], ${votedAt}
      from poll
      on conflict (account_id, target_id, voter_jid) do update
      set options = excluded.options, voted_at = excluded.voted_at
      where known.voted_at <= excluded.voted_at
        and (known.options, known.voted_at) is distinct from (excluded.options, excluded.voted_at)
      returning id
    )
    select (select id from vote) as vote_id
    from poll`);
  if (!row) return 'absent';
  return row['vote_id'] === null ? 'known' : 'recorded';
}
