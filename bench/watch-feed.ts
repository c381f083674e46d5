import WebSocket from 'ws';

type Row = Readonly<Record<string, unknown>>;
type FeedMessage = {
  readonly type: string;
  readonly changes?: readonly { readonly row?: Row }[];
};

/** Waits for what comes by the feed, and says when it came. */
export type FeedWatch = {
  /** Resolves with when the text was first seen, ms of `performance.now`. */
  waitFor(text: string): Promise<number>;
  /** So many different texts have been seen. */
  readonly count: number;
  close(): void;
};

/** A browser's socket, as far as one text of the rows of one table goes. Resolves when it is subscribed. */
export async function watchFeed(
  { feed, token }: { feed: string; token: string },
  table: string,
  textOf: (row: Row) => unknown,
): Promise<FeedWatch> {
  const socket = new WebSocket(feed);
  const seen = new Map<string, number>();
  const waiting = new Map<string, (at: number) => void>();
  await new Promise<void>((resolve, reject) => {
    socket.on('error', reject);
    socket.on('open', () => socket.send(JSON.stringify({ type: 'hello', version: 1, token })));
    socket.on('message', (data) => {
      const at = performance.now();
      const message = JSON.parse((data as Buffer).toString()) as FeedMessage;
      if (message.type === 'welcome')
        socket.send(JSON.stringify({ type: 'subscribe', id: 'bench', tables: [{ table }] }));
      if (message.type === 'subscribed') resolve();
      for (const { row } of message.changes ?? []) {
        const text = row && textOf(row);
        if (typeof text !== 'string' || seen.has(text)) continue;
        seen.set(text, at);
        waiting.get(text)?.(at);
        waiting.delete(text);
      }
    });
  });
  return {
    waitFor: (text) => {
      const at = seen.get(text);
      if (at !== undefined) return Promise.resolve(at);
      return new Promise((resolve) => waiting.set(text, resolve));
    },
    get count() {
      return seen.size;
    },
    close: () => socket.close(),
  };
}
