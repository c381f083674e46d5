import { Redis } from 'ioredis';
import { findFreePort } from '../../../platform/services/ports.ts';
import { eventually, startRedis, type TestRedis } from '../../support/services.ts';

const SLOTS = 16_384;
/** After this a node that does not answer has failed, and the others refuse everything. */
const NODE_TIMEOUT_MS = 2_000;

export type TestNode = TestRedis & {
  /** Of this node itself. */
  command(...words: (string | number)[]): Promise<unknown>;
};

/** Three masters without replicas. As a TestRedis it is all of them. */
export type TestCluster = TestRedis & {
  readonly nodes: readonly TestNode[];
  /** The node that holds a key. */
  holder(key: string): Promise<TestNode>;
  /** Moves the slot of a key with all that is in it: the keys of `first`, or one of them; `between`; then the rest. */
  moveSlot(
    key: string,
    to: TestNode,
    halfway: { first?: readonly string[]; between: () => Promise<void> },
  ): Promise<void>;
  /** Until all nodes know each other and hold all slots. */
  untilWhole(): Promise<void>;
};

/** A Redis Cluster of one's own, empty, made by commands alone. The caller stops it. */
export async function startRedisCluster(): Promise<TestCluster> {
  const started = await Promise.all([startNode(), startNode(), startNode()]);
  const nodes = started.map((node) => node.redis);
  const [first] = nodes;
  if (!first) throw new Error('no nodes');
  for (const [index, node] of nodes.entries()) {
    const start = Math.floor((index * SLOTS) / nodes.length);
    const end = Math.floor(((index + 1) * SLOTS) / nodes.length) - 1;
    await node.command('CLUSTER', 'ADDSLOTSRANGE', start, end);
    await node.command('CLUSTER', 'SET-CONFIG-EPOCH', index + 1);
  }
  for (const { redis, busPort } of started.slice(1))
    await first.command('CLUSTER', 'MEET', '127.0.0.1', redis.port, busPort);
  const all = async (act: (node: TestNode) => Promise<void>): Promise<void> => {
    await Promise.all(nodes.map(act));
  };
  const cluster: TestCluster = {
    url: nodes.map((node) => node.url).join(','),
    port: first.port,
    nodes,
    start: () => all((node) => node.start()),
    stop: () => all((node) => node.stop()),
    restart: () => all((node) => node.restart()),
    pause: () => all((node) => node.pause()),
    resume: () => all((node) => node.resume()),
    holder: async (key) => {
      const slot = Number(await first.command('CLUSTER', 'KEYSLOT', key));
      return findHolder(nodes, slot);
    },
    moveSlot: async (key, to, halfway) => {
      const slot = Number(await first.command('CLUSTER', 'KEYSLOT', key));
      await moveSlot({ nodes, slot, from: await findHolder(nodes, slot), to, ...halfway });
    },
    untilWhole: async () => {
      await eventually(async () => (await Promise.all(nodes.map(isWhole))).every(Boolean), {
        timeoutMs: 30_000,
        says: 'every node says that the Cluster is whole',
      });
    },
  };
  await cluster.untilWhole();
  return cluster;
}

async function startNode(): Promise<{ redis: TestNode; busPort: number }> {
  const busPort = await findFreePort();
  const redis = await startRedis({
    'cluster-enabled': 'yes',
    // In its directory: a node that starts again, empty, is still itself and holds the same slots.
    'cluster-config-file': 'nodes.conf',
    'cluster-node-timeout': String(NODE_TIMEOUT_MS),
    'cluster-port': String(busPort),
  });
  const command = async (...words: (string | number)[]): Promise<unknown> => {
    const client = new Redis(redis.url, { lazyConnect: true, retryStrategy: () => null });
    client.on('error', () => undefined);
    try {
      await client.connect();
      const [name = '', ...rest] = words;
      return await client.call(String(name), ...rest);
    } finally {
      client.disconnect();
    }
  };
  return { redis: { ...redis, command }, busPort };
}

async function isWhole(node: TestNode): Promise<boolean> {
  const info = String(await node.command('CLUSTER', 'INFO'));
  return (
    /cluster_state:ok/.test(info) &&
    /cluster_known_nodes:3/.test(info) &&
    /cluster_size:3/.test(info)
  );
}

async function idOf(node: TestNode): Promise<string> {
  return String(await node.command('CLUSTER', 'MYID'));
}

async function findHolder(nodes: readonly TestNode[], slot: number): Promise<TestNode> {
  const ranges = (await nodes[0]?.command('CLUSTER', 'SLOTS')) as [
    first: number,
    last: number,
    master: [host: string, port: number],
  ][];
  const range = ranges.find(([start, end]) => start <= slot && slot <= end);
  const holder = nodes.find(({ port }) => port === range?.[2][1]);
  if (!holder) throw new Error(`nobody holds slot ${slot}`);
  return holder;
}

/** https://redis.io/docs/latest/commands/cluster-setslot/ */
async function moveSlot(move: {
  nodes: readonly TestNode[];
  slot: number;
  from: TestNode;
  to: TestNode;
  first?: readonly string[];
  between: () => Promise<void>;
}): Promise<void> {
  const { nodes, slot, from, to, first, between } = move;
  const [fromId, toId] = [await idOf(from), await idOf(to)];
  const list = async (count: number): Promise<string[]> =>
    (await from.command('CLUSTER', 'GETKEYSINSLOT', slot, count)) as string[];
  const migrate = async (keys: readonly string[]): Promise<void> => {
    for (const key of keys) await from.command('MIGRATE', '127.0.0.1', to.port, key, 0, 5_000);
  };
  await to.command('CLUSTER', 'SETSLOT', slot, 'IMPORTING', fromId);
  await from.command('CLUSTER', 'SETSLOT', slot, 'MIGRATING', toId);
  await migrate(first ?? (await list(1)));
  try {
    await between();
  } finally {
    for (let keys = await list(100); keys.length > 0; keys = await list(100)) await migrate(keys);
    // Its new holder first: no moment in which nobody takes it.
    for (const node of [to, ...nodes.filter((one) => one !== to)])
      await node.command('CLUSTER', 'SETSLOT', slot, 'NODE', toId);
  }
}
