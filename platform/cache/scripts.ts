import { createHash } from 'node:crypto';
import { BYTES_FIELD } from '../../domain/cache-key.ts';
import type { RedisClient } from '../redis.ts';

/**
 * The atomic steps of the cache protocol: readers' half and replicator's half side by side, because each is only
 * right with the other (docs/spec/cache.md). LSNs are 16 hex digits, which compare as text. Every key of a script is
 * in one hash slot; keys derived inside (tombstones of single entries) share it by their hash tag.
 */
const script = (source: string) => ({
  source,
  sha: createHash('sha1').update(source).digest('hex'),
});

export type Script = ReturnType<typeof script>;

/**
 * Applies one account's share of a batch: log, invalidations, watermark, all or nothing.
 * KEYS head, log, sizes, channel, then per invalidation family and its tombstone.
 * ARGV term, expected watermark ('' when the caller has none), base, log byte budget, tombstone seconds,
 * commits n, per commit: hex, decimal, parts n, parts..., signals n, signals...; per invalidation: ids n (-1 = all), ids...
 * Answers 'term' (a newer leader wrote here), 'lost' (the watermark is behind what this leader left), or
 * {applied commits, watermark}. A commit at or before the watermark is a replay and is skipped.
 * Tombstones carry the new watermark: a reader saw either none of this call or all of it.
 * The channel is named as a key and never is one: a Cluster that moves the slot therefore runs none of this (TRYAGAIN)
 * until it has moved, and nothing of it half.
 */
export const APPLY = script(`
local head, log, sizes, channel = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local state = redis.call('HMGET', head, 'term', 'w', 'trimmed', 'bytes')
local term, expected, base = tonumber(ARGV[1]), ARGV[2], ARGV[3]
if state[1] and tonumber(state[1]) > term then return 'term' end
if expected ~= '' and (state[2] or '') < expected then return 'lost' end
local w, trimmed, bytes = state[2] or base, state[3] or base, tonumber(state[4] or '0')
local budget, ttl, at, applied = tonumber(ARGV[4]), ARGV[5], 7, 0
for _ = 1, tonumber(ARGV[6]) do
  local hex, dec, parts = ARGV[at], ARGV[at + 1], tonumber(ARGV[at + 2])
  at = at + 3
  if hex > w then
    for part = 0, parts - 1 do
      local body = ARGV[at + part]
      redis.call('XADD', log, dec .. '-' .. part, 'c', body)
      redis.call('RPUSH', sizes, hex .. ' ' .. dec .. ' ' .. #body)
      bytes = bytes + #body
    end
    for s = 1, tonumber(ARGV[at + parts]) do
      redis.call('SPUBLISH', channel, 's' .. ARGV[at + parts + s])
    end
    w, applied = hex, applied + 1
  end
  at = at + parts + 1 + tonumber(ARGV[at + parts])
end
if applied == 0 then
  if not state[1] or tonumber(state[1]) < term then
    redis.call('HSET', head, 'term', term, 'w', w, 'trimmed', trimmed, 'bytes', bytes)
  end
  return {0, w}
end
for k = 5, #KEYS, 2 do
  local family, tombstone, ids = KEYS[k], KEYS[k + 1], tonumber(ARGV[at])
  at = at + 1
  if ids < 0 then
    redis.call('UNLINK', family)
    redis.call('SET', tombstone, w, 'EX', ttl)
  else
    for i = at, at + ids - 1 do
      redis.call('HDEL', family, ARGV[i])
      redis.call('SET', tombstone .. '/' .. ARGV[i], w, 'EX', ttl)
    end
    at = at + ids
  end
end
local cut
while bytes > budget do
  local hex, dec, size = string.match(redis.call('LPOP', sizes) or '', '^(%x+) (%d+) (%d+)$')
  if not hex then break end
  bytes, trimmed, cut = bytes - tonumber(size), hex, dec
  local next = redis.call('LINDEX', sizes, 0)
  while next and string.sub(next, 1, 16) == hex do
    bytes = bytes - tonumber(string.match(next, ' (%d+)$'))
    redis.call('LPOP', sizes)
    next = redis.call('LINDEX', sizes, 0)
  end
end
if cut then redis.call('XTRIM', log, 'MINID', cut .. '-18446744073709551615') end
redis.call('HSET', head, 'term', term, 'w', w, 'trimmed', trimmed, 'bytes', bytes)
redis.call('SPUBLISH', channel, 'w' .. w)
return {applied, w}
`);

/**
 * KEYS head, family. ARGV field. Answers {watermark or '', value} on a hit, {watermark or '', nil, Redis clock ms}
 * on a miss: whoever fills later shows the last two again.
 */
export const READ = script(`
local w = redis.call('HGET', KEYS[1], 'w') or ''
local value = redis.call('HGET', KEYS[2], ARGV[1])
if value then return {w, value} end
local now = redis.call('TIME')
return {w, false, string.format('%d', now[1] * 1000 + math.floor(now[2] / 1000))}
`);

/**
 * READ for a Cluster, whose nodes are not one process: the answer's fourth is the run id of the node that answered. KEYS
 * and the rest as in READ.
 */
export const READ_AT_NODE = script(`
local run = string.match(redis.call('INFO', 'server'), 'run_id:(%w+)')
local w = redis.call('HGET', KEYS[1], 'w') or ''
local value = redis.call('HGET', KEYS[2], ARGV[1])
if value then return {w, value, '', run} end
local now = redis.call('TIME')
return {w, false, string.format('%d', now[1] * 1000 + math.floor(now[2] / 1000)), run}
`);

/** KEYS live, position. Answers both, and the run id of the node that answered. */
export const READ_LEASE = script(`
local run = string.match(redis.call('INFO', 'server'), 'run_id:(%w+)')
return {redis.call('GET', KEYS[1]), redis.call('GET', KEYS[2]), run}
`);

/** KEYS control. The clock of the Redis that has it, as TIME: leases are reckoned by it. */
export const READ_CLOCK = script(`return redis.call('TIME')`);

/**
 * Stores a value read from Postgres with a snapshot taken after READ answered, unless something it depends on has
 * been touched by a commit newer than the watermark of that answer, or so long ago that a tombstone may be gone.
 * KEYS family, tombstones of the family and of the entry: a Cluster that moves their slot runs no script on a part of what
 * it names, and on a part of what it does not name it would. ARGV field, value, watermark, clock of the miss in ms, age limit in ms,
 * entries at most, bytes at most, family's seconds. Answers 'stored', 'fenced' or 'old'. Deleted entries stay in the
 * count of bytes: the bound holds, the family only starts again sooner.
 */
export const FILL = script(`
local now = redis.call('TIME')
if now[1] * 1000 + math.floor(now[2] / 1000) - tonumber(ARGV[4]) > tonumber(ARGV[5]) then return 'old' end
local whole = redis.call('GET', KEYS[2])
if whole and whole > ARGV[3] then return 'fenced' end
local one = redis.call('GET', KEYS[3])
if one and one > ARGV[3] then return 'fenced' end
local bytes = redis.call('HINCRBY', KEYS[1], '${BYTES_FIELD}', #ARGV[2])
if bytes > tonumber(ARGV[7]) or redis.call('HLEN', KEYS[1]) > tonumber(ARGV[6]) then
  redis.call('UNLINK', KEYS[1])
  redis.call('HSET', KEYS[1], '${BYTES_FIELD}', #ARGV[2])
end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
if redis.call('TTL', KEYS[1]) < 0 then redis.call('EXPIRE', KEYS[1], ARGV[8]) end
return 'stored'
`);

/** KEYS head. ARGV term. Raises the term of an account that has a head: writes of older leaders are refused from now on. */
export const FENCE = script(`
local known = redis.call('HGET', KEYS[1], 'term')
if known and tonumber(known) < tonumber(ARGV[1]) then redis.call('HSET', KEYS[1], 'term', ARGV[1]) end
return 'ok'
`);

/** KEYS head, log. ARGV first id, last id, count. Answers {newest trimmed commit or '', entries}: one consistent look. */
export const READ_LOG = script(`
local trimmed = redis.call('HGET', KEYS[1], 'trimmed') or ''
return {trimmed, redis.call('XRANGE', KEYS[2], ARGV[1], ARGV[2], 'COUNT', ARGV[3])}
`);

/** KEYS control. A new term: larger than any before, also than those of a Redis that was lost since. */
export const RAISE_TERM = script(`
local term = math.max(tonumber(redis.call('HGET', KEYS[1], 'term') or '0') + 1, tonumber(redis.call('TIME')[1]))
redis.call('HSET', KEYS[1], 'term', string.format('%d', term))
return term
`);

/** How many keys this Redis has evicted: whatever it was, an epoch that was open meanwhile may lack it. */
const READ_EVICTED = `
local evicted = string.match(redis.call('INFO', 'stats'), 'evicted_keys:(%d+)')
`;

/**
 * KEYS control, live, position. ARGV term, epoch, base, run id, system id, timeline, slot, publication, channel.
 * Readers stop trusting the cache at once (live goes). The older epoch joins `stale` until its keys are dropped.
 */
export const OPEN_EPOCH = script(`${READ_EVICTED}
local term = redis.call('HGET', KEYS[1], 'term')
if term and tonumber(term) > tonumber(ARGV[1]) then return 'term' end
local older = redis.call('HGET', KEYS[1], 'epoch')
local stale = redis.call('HGET', KEYS[1], 'stale') or ''
if older then stale = stale .. older .. ' ' end
redis.call('DEL', KEYS[2])
redis.call('SET', KEYS[3], ARGV[2] .. ' ' .. ARGV[3])
redis.call('HSET', KEYS[1], 'term', ARGV[1], 'epoch', ARGV[2], 'base', ARGV[3], 'run_id', ARGV[4], 'system_id', ARGV[5],
  'timeline', ARGV[6], 'slot', ARGV[7], 'publication', ARGV[8], 'stale', stale, 'evicted', evicted)
redis.call('PUBLISH', ARGV[9], ARGV[2])
return 'ok'
`);

/** What every global write of a leader is checked by: prefix of the scripts below. KEYS[1] control, ARGV term, epoch. */
const CHECK_LEADER = `
local known = redis.call('HMGET', KEYS[1], 'term', 'epoch', 'run_id', 'evicted')
if known[1] and tonumber(known[1]) > tonumber(ARGV[1]) then return 'term' end
if known[2] ~= ARGV[2] then return 'lost' end
`;

/** KEYS control, position. ARGV term, epoch, hex. The position never goes back. */
export const ADVANCE = script(`${CHECK_LEADER}
local position = redis.call('GET', KEYS[2])
if not position then return 'lost' end
if position < ARGV[2] .. ' ' .. ARGV[3] then redis.call('SET', KEYS[2], ARGV[2] .. ' ' .. ARGV[3]) end
return 'ok'
`);

/**
 * KEYS control, live. ARGV term, epoch, time of death in ms of Redis' clock, payload. An absolute time: a command that
 * was held up on its way cannot make a lease longer than it was meant. A Redis that was started anew, or has evicted
 * anything, has lost the epoch; one that would evict gets no lease ('evicts').
 */
export const RENEW = script(`${CHECK_LEADER}${READ_EVICTED}
local run = string.match(redis.call('INFO', 'server'), 'run_id:(%w+)')
if run ~= known[3] and not string.find(known[3] or '', run .. '/', 1, true) or evicted ~= (known[4] or '0') then return 'lost' end
if not string.find(redis.call('INFO', 'memory'), 'maxmemory_policy:noeviction', 1, true) then return 'evicts' end
local now = redis.call('TIME')
if now[1] * 1000 + math.floor(now[2] / 1000) >= tonumber(ARGV[3]) then return 'late' end
redis.call('SET', KEYS[2], ARGV[4], 'PXAT', ARGV[3])
return 'ok'
`);

/** KEYS control, leader. ARGV term, milliseconds. The leader's process runs. */
export const BEAT = script(`
local term = redis.call('HGET', KEYS[1], 'term')
if term and tonumber(term) > tonumber(ARGV[1]) then return 'term' end
redis.call('SET', KEYS[2], ARGV[1], 'PX', ARGV[2])
return 'ok'
`);

/** Runs a script by its digest, and by its text where Redis does not know it (a restart forgets scripts). */
export async function runScript(
  redis: RedisClient,
  { source, sha }: Script,
  keys: readonly string[],
  args: readonly (string | number)[],
): Promise<unknown> {
  try {
    return await redis.evalsha(sha, keys.length, ...keys, ...args);
  } catch (error) {
    if (!isMissingScript(error)) throw error;
    return await redis.eval(source, keys.length, ...keys, ...args);
  }
}

function isMissingScript(error: unknown): boolean {
  return error instanceof Error && error.message.startsWith('NOSCRIPT');
}
