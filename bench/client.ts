import { connect, type Socket } from 'node:net';

export type Answer = { readonly status: number; readonly cache: string | undefined };

export type Call = {
  readonly method: string;
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: string | undefined;
};

/**
 * One keep-alive connection that asks one thing at a time. Of an answer only its head is looked at: whoever measures on
 * the same machine must cost little. Bodies with a length, as our API sends them; no others.
 */
export class Connection {
  readonly #socket: Socket;
  readonly #host: string;
  #pending: { resolve: (answer: Answer) => void; reject: (error: Error) => void } | undefined;
  #head = '';
  #answer: Answer | undefined;
  /** Of the body, still to come. */
  #bytes = 0;

  constructor(origin: string) {
    const { hostname, port } = new URL(origin);
    this.#host = `${hostname}:${port}`;
    this.#socket = connect({ host: hostname, port: Number(port), noDelay: true });
    this.#socket.on('data', (chunk) => this.#read(chunk));
    this.#socket.on('error', (error) => this.#fail(error));
    this.#socket.on('close', () => this.#fail(new Error('the connection was closed')));
  }

  send({ method, path, headers, body = '' }: Call): Promise<Answer> {
    let text = `${method} ${path} HTTP/1.1\r\nhost: ${this.#host}\r\n`;
    for (const [name, value] of Object.entries(headers)) text += `${name}: ${value}\r\n`;
    if (body !== '')
      text += `content-type: application/json\r\ncontent-length: ${Buffer.byteLength(body)}\r\n`;
    return new Promise((resolve, reject) => {
      this.#pending = { resolve, reject };
      this.#socket.write(`${text}\r\n${body}`);
    });
  }

  close(): void {
    this.#socket.destroy();
  }

  #read(chunk: Buffer): void {
    let rest = chunk.length;
    if (this.#answer === undefined) {
      // Heads are ASCII, and one byte is one character in this encoding: lengths stay true.
      this.#head += chunk.toString('latin1');
      const end = this.#head.indexOf('\r\n\r\n');
      if (end < 0) return;
      rest = this.#head.length - end - 4;
      const head = this.#head.slice(0, end + 2);
      this.#head = '';
      this.#bytes = Number(/\r\ncontent-length: (\d+)\r\n/i.exec(head)?.[1] ?? 0);
      this.#answer = {
        status: Number(head.slice(9, 12)),
        cache: /\r\nclarin-cache: (\w+)\r\n/i.exec(head)?.[1],
      };
    }
    this.#bytes -= rest;
    if (this.#bytes > 0) return;
    const answer = this.#answer;
    const pending = this.#pending;
    this.#answer = undefined;
    this.#pending = undefined;
    pending?.resolve(answer);
  }

  #fail(error: Error): void {
    this.#pending?.reject(error);
    this.#pending = undefined;
  }
}
