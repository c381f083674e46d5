import {
  CLIENT_FRAME_BYTES_MAX,
  clientMessage,
  type ClientMessage,
} from '../../domain/feed-protocol.ts';

export type ParsedFrame =
  | { readonly message: ClientMessage }
  /** In words for whoever writes the client. */
  | { readonly problem: string };

/** Reads what a client sent. Everything that is not exactly a message of the protocol is a problem. */
export function parseClientFrame(bytes: ArrayBuffer, isBinary: boolean): ParsedFrame {
  if (isBinary) return { problem: 'send text frames, not binary ones' };
  if (bytes.byteLength > CLIENT_FRAME_BYTES_MAX) {
    return {
      problem: `a frame may have ${CLIENT_FRAME_BYTES_MAX} bytes, this one has ${bytes.byteLength}`,
    };
  }
  let value: unknown;
  try {
    value = JSON.parse(Buffer.from(bytes).toString('utf8'));
  } catch {
    return { problem: 'the frame is not JSON' };
  }
  const parsed = clientMessage.safeParse(value);
  if (parsed.success) return { message: parsed.data };
  const issue = parsed.error.issues[0];
  const where = issue && issue.path.length > 0 ? `"${issue.path.join('.')}": ` : '';
  return {
    problem: `not a message of the feed's protocol: ${where}${issue?.message ?? 'unknown'}`,
  };
}
