import { Cluster, type ClusterNode, type RedisOptions } from 'ioredis';
import { ClarinError } from '../domain/errors.ts';

/** Of a command that a node refuses for now: the slot is on its way to another node, or the Cluster is down. */
const TRY_AGAIN_MS = 50;
/** In all, with what is moved: four fifths of a second at most. */
const REDIRECTIONS_MAX = 16;
/** The map of the slots is asked for anew, beside whenever a node answers that it is old. */
const MAP_EVERY_MS = 2_000;

/** `redis://a,redis://b` is a Cluster; so is `redis://a?cluster=true`, one address that leads to any of its nodes. */
export function isClusterUrl(url: string): boolean {
  return url.includes(',') || new URL(url).searchParams.get('cluster') === 'true';
}

/**
 * Connections to all nodes of a Redis Cluster. `urls`: some nodes, comma-separated, of which one must answer; the others
 * are learnt of it. Name, password and TLS are the first one's. Sharded channels are entered at the node of their slot, by
 * connections of their own.
 */
export function createCluster(urls: string, redisOptions: RedisOptions): Cluster {
  const nodes = urls.split(',').map((url) => new URL(url));
  const [first] = nodes;
  const isSecure = first?.protocol === 'rediss:';
  const username = decodeURIComponent(first?.username ?? '');
  const password = decodeURIComponent(first?.password ?? '');
  return new Cluster(nodes.map(toNode), {
    lazyConnect: true,
    enableOfflineQueue: false,
    shardedSubscribers: true,
    scaleReads: 'master',
    clusterRetryStrategy: (attempt) => Math.min(50 * attempt, 1_000),
    maxRedirections: REDIRECTIONS_MAX,
    retryDelayOnTryAgain: TRY_AGAIN_MS,
    retryDelayOnClusterDown: TRY_AGAIN_MS,
    retryDelayOnFailover: TRY_AGAIN_MS,
    slotsRefreshInterval: MAP_EVERY_MS,
    // A certificate names hosts: they must reach the handshake unresolved.
    ...(isSecure && {
      dnsLookup: (host: string, callback: (error: null, address: string) => void) =>
        callback(null, host),
    }),
    redisOptions: {
      ...redisOptions,
      ...(username !== '' && { username }),
      ...(password !== '' && { password }),
      ...(isSecure && { tls: {} }),
    },
  });
}

function toNode(url: URL): ClusterNode {
  const host = url.hostname.replace(/^\[|\]$/g, '');
  return { host, port: url.port === '' ? 6379 : Number(url.port) };
}

/**
 * INFO of every node that holds slots, in no order. All of them must answer, and must know of each other: what one of
 * them cannot be asked about nobody can vouch for.
 * @throws ClarinError `unavailable` also while the nodes differ about who they are, as after a fail-over.
 */
export async function infoOfMasters(cluster: Cluster): Promise<string[]> {
  const nodes = await Promise.all(
    cluster.nodes('master').map(async (node) => {
      const [id, ranges, info] = await Promise.all([
        node.cluster('MYID'),
        node.cluster('SLOTS'),
        node.info(),
      ]);
      return { id, masters: ranges.flatMap(([, , master]) => master?.[2] ?? []), info };
    }),
  );
  const holders = new Set(nodes.flatMap((node) => node.masters));
  // Of no connection nothing follows, least of all that something is lost.
  if (holders.size === 0) throw new ClarinError('unavailable', 'no node of the Cluster answers');
  const asked = new Map(nodes.map(({ id, info }) => [id, info]));
  return [...holders].map((id) => {
    const info = asked.get(id);
    if (info === undefined || !/^role:master/m.test(info)) {
      throw new ClarinError('unavailable', `the Cluster is changing: its node ${id} was not found`);
    }
    return info;
  });
}
