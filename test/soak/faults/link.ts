import { connect, createServer, type AddressInfo, type Socket } from 'node:net';

/** One connection through a link. */
type Pair = {
  readonly client: Socket;
  readonly upstream: Socket;
  /** Named by the first bytes of a client of Postgres: `replication` in its start-up packet. */
  isReplication: boolean;
  isFrozen: boolean;
};

/**
 * A wire between one process and a service, which can be cut or go dead. Half open means: both ends believe in the
 * connection and no byte passes any more, as when a firewall forgets it.
 */
export type Link = {
  /** The service's, by way of this link. */
  urlOf(target: string): string;
  readonly port: number;
  /** Connections that are open now, half open ones among them. */
  readonly open: number;
  /** Makes those of now half open and answers how many there were; new ones are as they should be. */
  freeze(which?: 'replication' | 'all'): number;
  /** Nothing passes, and who connects is never answered, until `heal`. */
  darken(): void;
  /** Cuts every connection and refuses new ones, until `heal`. */
  cut(): void;
  /** What the process says arrives so much later, in order, until `heal`. */
  slow(delayMs: number): void;
  /** Everything passes again, at once; half open ones are cut at last. */
  heal(): void;
  close(): Promise<void>;
};

/** Listens on 127.0.0.1. `port`: of the service there. */
export async function openLink(port: number): Promise<Link> {
  const pairs = new Set<Pair>();
  let state: 'open' | 'dark' | 'cut' = 'open';
  const wire = { delayMs: 0 };
  const server = createServer((client) => {
    if (state === 'cut') {
      client.destroy();
      return;
    }
    pairs.add(
      joinPair({ client, port, wire, isFrozen: state === 'dark' }, (pair) => pairs.delete(pair)),
    );
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const own = (server.address() as AddressInfo).port;
  const end = (which: (pair: Pair) => boolean): void => {
    for (const pair of [...pairs].filter(which)) {
      pair.client.destroy();
      pair.upstream.destroy();
    }
  };
  return {
    port: own,
    urlOf: (target) => {
      const url = new URL(target);
      url.hostname = '127.0.0.1';
      url.port = String(own);
      return url.href;
    },
    get open() {
      return pairs.size;
    },
    freeze: (which = 'all') => {
      const chosen = [...pairs].filter((pair) => which === 'all' || pair.isReplication);
      for (const pair of chosen) pair.isFrozen = true;
      return chosen.length;
    },
    darken: () => {
      state = 'dark';
      for (const pair of pairs) pair.isFrozen = true;
    },
    cut: () => {
      state = 'cut';
      end(() => true);
    },
    slow: (delayMs) => {
      wire.delayMs = delayMs;
    },
    heal: () => {
      wire.delayMs = 0;
      state = 'open';
      end((pair) => pair.isFrozen);
    },
    close: async () => {
      end(() => true);
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

type Joint = { client: Socket; port: number; wire: { delayMs: number }; isFrozen: boolean };

function joinPair({ client, port, wire, isFrozen }: Joint, onGone: (pair: Pair) => void): Pair {
  const upstream = connect(port, '127.0.0.1');
  const pair: Pair = { client, upstream, isReplication: false, isFrozen };
  client.setNoDelay(true);
  upstream.setNoDelay(true);
  client.once('data', (startup: Buffer) => {
    pair.isReplication = startup.includes('replication\0');
  });
  // What is late keeps its order: whatever comes behind it waits for it.
  let late: Promise<void> = Promise.resolve();
  let waiting = 0;
  const pass = (chunk: Buffer, from: Socket, to: Socket): void => {
    // What a half open connection is sent is swallowed: its sender sees it go out.
    if (pair.isFrozen || to.destroyed || to.write(chunk)) return;
    from.pause();
    to.once('drain', () => from.resume());
  };
  const passLate = (chunk: Buffer): void => {
    waiting++;
    const due = performance.now() + wire.delayMs;
    late = late
      .then(() => new Promise((resolve) => setTimeout(resolve, due - performance.now())))
      .then(() => {
        waiting--;
        pass(chunk, client, upstream);
      });
  };
  const join = (from: Socket, to: Socket): void => {
    from.on('data', (chunk) => {
      if (from === client && (wire.delayMs > 0 || waiting > 0)) passLate(chunk);
      else pass(chunk, from, to);
    });
    from.on('error', () => undefined);
    from.on('close', () => {
      // The end of one side is told to the other, unless nothing passes any more.
      if (!pair.isFrozen) to.destroy();
      if (client.destroyed && upstream.destroyed) onGone(pair);
    });
  };
  join(client, upstream);
  join(upstream, client);
  return pair;
}
