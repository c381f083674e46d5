import { once } from 'node:events';
import { connect } from 'node:net';

export type Raw = { readonly status: number; readonly head: string; readonly body: string };

/** Sends the bytes and reads until the other side closes. Status 0: it closed without an answer. */
export async function sendRaw(port: number, bytes: string | Buffer): Promise<Raw> {
  const socket = connect(port, '127.0.0.1');
  await once(socket, 'connect');
  const chunks: Buffer[] = [];
  socket.on('data', (chunk: Buffer) => chunks.push(chunk));
  // A refusal may come while the rest is still being sent.
  socket.on('error', () => undefined);
  socket.write(bytes);
  await once(socket, 'close');
  const text = Buffer.concat(chunks).toString('latin1');
  const [head = '', body = ''] = text.split('\r\n\r\n', 2);
  return { status: Number(/^HTTP\/1\.1 (\d{3})/.exec(head)?.[1] ?? 0), head, body };
}
