import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from 'prom-client';

type Make = ReturnType<typeof makers>;

/** How metrics are made in one registry. */
function makers(registry: Registry) {
  const registers = [registry];
  return {
    counter: <L extends string>(name: string, help: string, labelNames: readonly L[] = []) =>
      new Counter<L>({ name, help, labelNames: [...labelNames], registers }),
    gauge: <L extends string>(name: string, help: string, labelNames: readonly L[] = []) =>
      new Gauge<L>({ name, help, labelNames: [...labelNames], registers }),
    histogram: <L extends string>(
      name: string,
      help: string,
      options: { buckets: number[]; labelNames?: readonly L[] },
    ) =>
      new Histogram<L>({
        name,
        help,
        buckets: options.buckets,
        labelNames: [...(options.labelNames ?? [])],
        registers,
      }),
  };
}

/** Of the slot and who serves it. */
const slotMetrics = ({ gauge }: Make) => ({
  slotRetainedBytes: gauge(
    'clarin_slot_retained_bytes',
    'WAL kept for the slot, from its restart_lsn',
  ),
  slotSafeWalBytes: gauge(
    'clarin_slot_safe_wal_size_bytes',
    'WAL that may still be written before the slot is lost; absent without a budget',
  ),
  slotWalStatus: gauge('clarin_slot_wal_status', '1 for the current wal_status, 0 for the others', [
    'status',
  ]),
  slotActive: gauge('clarin_slot_active', '1 while a walsender serves the slot'),
  confirmedLagBytes: gauge(
    'clarin_confirmed_lag_bytes',
    'Current WAL position minus confirmed_flush_lsn',
  ),
  roundTripLagSeconds: gauge(
    'clarin_round_trip_lag_seconds',
    'Time the last heartbeat took through the WAL and the whole pipeline',
  ),
  heartbeatAgeSeconds: gauge(
    'clarin_heartbeat_age_seconds',
    'Time since the last heartbeat that came back was sent',
  ),
  isLeader: gauge('clarin_is_leader', '1 while this replicator holds the slot'),
  term: gauge('clarin_leadership_term', 'Current leadership term'),
});

/** Of what comes through the WAL. */
const replicationMetrics = ({ counter, histogram }: Make) => ({
  transactions: counter('clarin_transactions_total', 'Transactions decoded'),
  changes: counter('clarin_changes_total', 'Row changes decoded, by operation', ['op']),
  bulkMarkers: counter(
    'clarin_bulk_markers_total',
    'Tables of a transaction that became one bulk marker',
  ),
  messagesIgnored: counter(
    'clarin_messages_ignored_total',
    'Logical messages that are not ours or do not fit, by prefix',
    ['prefix'],
  ),
  invalidations: counter('clarin_invalidations_total', 'Cache families and entries invalidated'),
  replayed: counter(
    'clarin_replayed_commits_total',
    'Commits skipped because their account had them already',
  ),
  gateWaits: counter(
    'clarin_gate_waits_total',
    'Batches that were in the WAL before other sessions could see them',
  ),
  gateWaitSeconds: histogram('clarin_gate_wait_seconds', 'Time a batch waited for visibility', {
    buckets: [0.001, 0.005, 0.02, 0.1, 0.5, 2, 10, 60],
  }),
  epochChanges: counter('clarin_epoch_changes_total', 'New epochs, by reason', ['reason']),
  takeovers: counter('clarin_takeovers_total', 'Times this process became leader'),
  reconnects: counter(
    'clarin_replication_reconnects_total',
    'Replication streams that ended and were started again',
  ),
});

/** Of reads through the cache, and of the sampler that checks them. */
const cacheMetrics = ({ counter }: Make) => ({
  cacheHits: counter('clarin_cache_hits_total', 'Reads answered from Redis', ['family']),
  cacheMisses: counter(
    'clarin_cache_misses_total',
    'Reads answered from Postgres and offered to Redis',
    ['family'],
  ),
  cacheBypasses: counter(
    'clarin_cache_bypasses_total',
    'Reads answered from Postgres without the cache, by reason',
    ['reason'],
  ),
  cacheFills: counter('clarin_cache_fills_total', 'Values stored'),
  cacheFillsRejected: counter('clarin_cache_fills_rejected_total', 'Values not stored, by reason', [
    'reason',
  ]),
  cacheIncoherent: counter(
    'clarin_cache_incoherent_total',
    'Cached values that differed from Postgres when they must not: always 0',
  ),
  cacheVerified: counter('clarin_cache_verified_total', 'Cached values compared with Postgres'),
});

/** Of the sockets. */
const feedMetrics = ({ counter, gauge }: Make) => ({
  sockets: gauge('clarin_feed_sockets', 'Open sockets'),
  subscriptions: gauge('clarin_feed_subscriptions', 'Live subscriptions'),
  feedMessages: counter('clarin_feed_messages_total', 'Frames handed to sockets'),
  feedBytes: counter('clarin_feed_bytes_total', 'Bytes of frames handed to sockets'),
  feedEncodings: counter(
    'clarin_feed_encodings_total',
    'Frames encoded, once per distinct subscription',
  ),
  healedCommits: counter(
    'clarin_gateway_healed_commits_total',
    'Commits that a gateway read because the position had passed them: nothing on their channel had said so yet',
  ),
  slowCloses: counter('clarin_feed_slow_closes_total', 'Sockets closed with 4408'),
  feedCloses: counter('clarin_feed_closes_total', 'Sockets closed by us, by code', ['code']),
  resyncs: counter('clarin_feed_resyncs_total', 'Subscribers told to read again, by reason', [
    'reason',
  ]),
});

/** Of requests and what they use. */
const serviceMetrics = ({ counter, gauge, histogram }: Make) => ({
  purgedRows: counter(
    'clarin_purged_rows_total',
    'Rows removed because their time was over, by table',
    ['table'],
  ),
  importedRows: counter(
    'clarin_imported_rows_total',
    'Rows of imported files, by what became of them',
    ['outcome'],
  ),
  campaignClaims: counter(
    'clarin_campaign_claims_total',
    'Transactions that looked for a recipient to write to, by outcome',
    ['outcome'],
  ),
  requests: histogram('clarin_http_request_seconds', 'Requests by route and status', {
    labelNames: ['method', 'route', 'status'],
    buckets: [0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.5, 1, 5],
  }),
  poolConnections: gauge('clarin_pool_connections', 'Database connections, by state', ['state']),
});

/** Of reading Kommo. */
const kommoMetrics = ({ counter, gauge }: Make) => ({
  kommoLagSeconds: gauge(
    'clarin_kommo_lag_seconds',
    'Time since the last complete pass over what changed, by connection',
    ['connection'],
  ),
  kommoConnections: gauge(
    'clarin_kommo_connections',
    'Connections that this process reads, by their status',
    ['status'],
  ),
  kommoStretch: gauge(
    'clarin_kommo_stretch_ratio',
    'How much longer everything takes because requests wait for their turn: 1 when they do not',
  ),
  kommoPasses: counter(
    'clarin_kommo_passes_total',
    'Passes by what they look for and what became of them',
    ['pass', 'outcome'],
  ),
  kommoRows: counter(
    'clarin_kommo_rows_total',
    'Rows that Kommo showed and were not known to look so, by what became of them',
    ['entity', 'outcome'],
  ),
  kommoRequests: counter('clarin_kommo_requests_total', 'Requests to Kommo, by their answer', [
    'endpoint',
    'status',
  ]),
  kommoSweepsStopped: counter(
    'clarin_kommo_sweeps_stopped_total',
    'Times that so many rows were missing that it could not be deletions',
  ),
});

/** Of the devices at WhatsApp. */
const whatsappMetrics = ({ counter, gauge, histogram }: Make) => ({
  whatsappDevices: gauge(
    'clarin_whatsapp_devices',
    'Devices that this process works for, by their status',
    ['status'],
  ),
  whatsappCloses: counter(
    'clarin_whatsapp_closes_total',
    'Sockets that ended by themselves, by the number WhatsApp gave, or what happened instead',
    ['code'],
  ),
  whatsappGateSeconds: histogram(
    'clarin_whatsapp_gate_wait_seconds',
    'Time a device waited for its turn to connect',
    { buckets: [0.05, 0.25, 1, 5, 15, 60, 300] },
  ),
  whatsappBreakerOpen: gauge(
    'clarin_whatsapp_breaker_open',
    '1 while WhatsApp refuses the version of the client and nobody connects',
  ),
  whatsappFaults: counter(
    'clarin_whatsapp_faults_total',
    'Devices that stopped because of an exception of ours',
  ),
  whatsappStanzas: counter(
    'clarin_whatsapp_stanzas_total',
    'Stanzas of the inbox by what became of them; given_up ones are kept for whoever looks',
    ['outcome'],
  ),
  whatsappHistory: counter(
    'clarin_whatsapp_history_messages_total',
    'Messages from before a pairing that were written',
  ),
});

/** Every metric of every process, named once. Units are in the names; counters end in _total. */
export function createMetrics(role: string) {
  const registry = new Registry();
  registry.setDefaultLabels({ role });
  collectDefaultMetrics({ register: registry });
  const make = makers(registry);
  return {
    registry,
    ...slotMetrics(make),
    ...replicationMetrics(make),
    ...cacheMetrics(make),
    ...feedMetrics(make),
    ...serviceMetrics(make),
    ...kommoMetrics(make),
    ...whatsappMetrics(make),
  };
}

export type Metrics = ReturnType<typeof createMetrics>;
