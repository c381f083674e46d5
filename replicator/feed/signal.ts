import { MESSAGE_SIGNAL } from '../../domain/change.ts';
import { ClarinError } from '../../domain/errors.ts';
import { SIGNALS_BURST, SIGNALS_PER_SECOND } from '../../domain/feed-protocol.ts';
import { may, type Permission, type Principal } from '../../domain/permission.ts';
import type { Log } from '../../platform/log.ts';
import type { Queries } from '../../platform/postgres.ts';
import { sql } from '../../platform/sql.ts';
import { encodeMessage } from './frame.ts';
import { TokenBucket } from './token-bucket.ts';

/** A signal ready to be sent to the account's sockets whose role has the permission, and the device. */
export type Signal = {
  readonly frame: Buffer;
  readonly permission: Permission | undefined;
  /** Undefined: it has nothing to do with devices; null: of a device that is gone. */
  readonly deviceId: number | null | undefined;
};

/** A longer one is not a signal: it belongs into a table. */
const SIGNAL_CHARS_MAX = 8 * 1024;

/**
 * What a writer announced under MESSAGE_SIGNAL: `{account_id, kind, permission?, device_id?, ...}`. Undefined for anything else:
 * any program may write such messages, and a wrong one must not reach a socket.
 */
export function parseSignal(text: string): Signal | undefined {
  if (text.length > SIGNAL_CHARS_MAX) return undefined;
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (
    typeof value !== 'object' ||
    value === null ||
    !('kind' in value) ||
    typeof value.kind !== 'string'
  )
    return undefined;
  const { permission, device_id, ...fields } = value as {
    kind: string;
    permission?: Permission;
    device_id?: number | null;
    account_id?: number;
  };
  delete fields.account_id;
  return { frame: encodeMessage({ ...fields, type: 'signal' }), permission, deviceId: device_id };
}

export function mayReceive(signal: Signal, principal: Principal): boolean {
  if (signal.permission !== undefined && !may(principal, signal.permission)) return false;
  const { deviceIds } = principal;
  if (signal.deviceId === undefined || deviceIds === null) return true;
  return signal.deviceId !== null && deviceIds.includes(signal.deviceId);
}

type Options = { readonly database: Queries; readonly log: Log; readonly nowMs: () => number };

/**
 * Signals of one client. Even an ephemeral one is written to Postgres only: it reaches every feed server through the
 * write-ahead log.
 */
export class SignalWriter {
  readonly #options: Options;
  readonly #bucket: TokenBucket;

  constructor(options: Options) {
    this.#options = options;
    const nowMs = options.nowMs();
    this.#bucket = new TokenBucket({ perSecond: SIGNALS_PER_SECOND, burst: SIGNALS_BURST, nowMs });
  }

  /** @throws ClarinError when it may not or could not be written; the socket can stay. */
  async writeTyping(principal: Principal, chatId: number): Promise<void> {
    const { database, log, nowMs } = this.#options;
    const permission = 'chats' satisfies Permission;
    if (!may(principal, permission))
      throw new ClarinError('forbidden', 'your role may not see chats');
    if (!this.#bucket.take(nowMs())) {
      throw new ClarinError('rate_limited', `at most ${SIGNALS_PER_SECOND} signals a second`);
    }
    const { accountId, userId, deviceIds } = principal;
    let written: readonly unknown[];
    try {
      written = await database.query(sql`
        select pg_logical_emit_message(true, ${MESSAGE_SIGNAL}, jsonb_build_object(
          'account_id', chat.account_id, 'kind', 'typing', 'chat_id', chat.id, 'device_id', chat.device_id,
          'user_id', ${userId}::bigint, 'permission', ${permission}::text)::text)
        from public.chats as chat
        where chat.account_id = ${accountId} and chat.id = ${chatId}
          and (${deviceIds === null}::boolean or chat.device_id = any(${[...(deviceIds ?? [])]}::bigint[]))`);
    } catch (error) {
      log.warn({ error, account: accountId }, 'a signal was not written');
      throw new ClarinError('unavailable', 'the signal was not written; try again', {
        cause: error,
      });
    }
    if (written.length === 0) throw new ClarinError('not_found', 'there is no such chat');
  }
}
