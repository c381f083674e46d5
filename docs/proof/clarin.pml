/*
 * Clarin's protocol between Postgres, the replicators, Redis and the readers of the cache, as far as its promises
 * depend on the order of things. What stands for what, what is left out and why that is sound: README.md beside this.
 *
 * Each d_step or atomic is one thing the code does in one piece: a statement on Postgres, or one script call on Redis.
 * Everything else may come in between, for as long as it likes: a paused process is one that is not scheduled.
 *
 * Guards are removed by -DNO_GATE, -DNO_TOMBSTONE, -DNO_AGE_LIMIT, -DNO_TERM, -DNO_EPOCH, -DNO_RUN_ID, -DNO_EXPECTED,
 * -DNO_LOST_MARK, -DNO_START_CHECK, -DNO_HONEST_ACK, -DLATE_WATERMARK.
 */

/* Sizes, and how often each fault may happen. */
#ifndef COMMITS
#define COMMITS 2 /* each by a writer of its own */
#endif
#ifndef READERS
#define READERS 2
#endif
#ifndef TAKEOVERS
#define TAKEOVERS 1 /* a standby ends the lock of a leader that does not beat */
#endif
#ifndef CRASHES
#define CRASHES 0 /* of a replicator */
#endif
#ifndef POSTGRES_CRASHES
#define POSTGRES_CRASHES 0
#endif
#ifndef LOSSES
#define LOSSES 1 /* Redis flushed, restarted empty, or restarted with what it had saved at some time */
#endif
#ifndef ACCOUNT_LOSSES
#define ACCOUNT_LOSSES 0 /* the account's keys alone vanish: only with LOSSES 0 and NO_READS */
#endif
#ifndef SLOT_MOVES
#define SLOT_MOVES 0 /* somebody advances the slot while nobody reads it: only with LOSSES 0 */
#endif

#define UP_TO(lsn) ((1 << (lsn)) - 1) /* the set of the commits 1..lsn */
#define BIT(lsn) (1 << ((lsn) - 1))
#define NEWER(a, b) ((a) > (b) -> (a) : (b))

/* Postgres. A commit's number is its LSN: the order of the records in the WAL. */
unsigned flushed : 3; /* the records of 1..flushed are in the WAL */
unsigned visible : 4; /* set of the commits that snapshots see */
unsigned confirmed : 3; /* the slot's confirmed_flush_lsn */
unsigned walsender : 2; /* who reads the slot, 0 nobody */
unsigned lock : 2 = 1; /* who holds the advisory lock, 0 nobody */

/* Redis, control. */
bit control; /* an epoch is there */
bit ours; /* control's run id is that of this Redis process */
bit live; /* the lease; it names the epoch of control, and never dies of age here */
bit liveOurs; /* and this Redis process */
unsigned term : 3;
unsigned position : 3;
#if ACCOUNT_LOSSES > 0
unsigned base : 3;
#define SET_BASE(lsn) base = lsn
#else
#define base 0
#define SET_BASE(lsn) skip
#endif

/* Redis, the keys of one account in the epoch of control. Keys of any other epoch are never read. */
unsigned headTerm : 3; /* 0: the account has no head yet */
unsigned w : 3; /* watermark; the epoch's base without a head */
unsigned told : 4; /* set of the commits in the account's log, and of those that were visible when the epoch opened */
unsigned tombstone : 3;
bit tombstoneIsOld; /* half of its life is over */
bit cached;
unsigned value : 4; /* set of the commits that the cached value holds */

/* Readers between their miss and their fill, in the epoch of control. Those of another fill what nobody reads. */
#define IDLE 0
#define MISSED 1
#define LOADED 2
byte readerAt[READERS];
byte missW[READERS];
byte loaded[READERS];
bool missIsOld[READERS]; /* half a tombstone's life ago */

/* Replicators 1 and 2: whether their mandate is the epoch of control, and whether the run id they judged by still is. */
bool mandated[3];
bool judged[3];

/* Ghosts. */
unsigned applied : 3; /* newest commit that any leader has ever applied: a watermark has passed it */
unsigned terms : 3; /* newest term handed out */
unsigned fenced : 3; /* newest term whose leader has fenced or opened, in a Redis that has lost nothing since */
bit stale, lost, deposed, unapplied, kept;

unsigned takeovers : 2 = TAKEOVERS;
unsigned crashes : 2 = CRASHES;
unsigned postgresCrashes : 2 = POSTGRES_CRASHES;
unsigned losses : 2 = LOSSES;
unsigned accountLosses : 2 = ACCOUNT_LOSSES;
unsigned slotMoves : 2 = SLOT_MOVES;

/* ---- the guards ---- */
#ifdef NO_GATE
#define PASSES(lsn) true
#else
#define PASSES(lsn) (visible & BIT(lsn))
#endif
#ifdef NO_TOMBSTONE
#define LEAVE_TOMBSTONE skip
#else
#define LEAVE_TOMBSTONE tombstone = lsn; tombstoneIsOld = 0
#endif
#ifdef NO_AGE_LIMIT
#define GROW_OLD(r) missIsOld[r] = true
#else
#define GROW_OLD(r) if :: missIsOld[r] -> endRead(r) :: else -> missIsOld[r] = true fi
#endif
#ifdef NO_TERM
#define IS_DEPOSED(known) false
#else
#define IS_DEPOSED(known) ((known) > mine)
#endif
#ifdef NO_EPOCH
#define END_EPOCH skip
#define IN_EPOCH true
#else
#define END_EPOCH endEpoch()
#define IN_EPOCH (mandated[me])
#endif
#ifdef NO_RUN_ID
#define IS_OURS(flag) true
#else
#define IS_OURS(flag) (flag)
#endif
#if defined(NO_EXPECTED) || ACCOUNT_LOSSES == 0 /* everything else holds without it */
#define IS_BEHIND false
#define EXPECT(lsn) skip
#else
#define IS_BEHIND (expected > (headTerm -> w : 0))
#define EXPECT(lsn) expected = lsn
#endif
#ifdef NO_LOST_MARK
#define IS_MARKED false
#else
#define IS_MARKED (isOver && mandated[me])
#endif
#ifdef NO_START_CHECK
#define HAS_MOVED false
#else
#define HAS_MOVED (confirmed > start)
#endif
#ifdef NO_HONEST_ACK
#define ACK_READ confirmed = NEWER(confirmed, lsn)
#else
#define ACK_READ skip
#endif

/* A reader trusts what it reads now. */
#define TRUSTED (live && IS_OURS(liveOurs))
/* Control stands for its epoch; without, the epoch ends at the next heartbeat or start, which compare. */
#define VOUCHED (control && ours)
/* Somebody streams for it: the feed goes on. Who begins to compares the slot with the position before. */
#define SERVED (VOUCHED && mandated[walsender])

/*
 * G4: a value that readers trust holds every commit that a watermark has ever passed.
 * G1, G6: every commit that is acknowledged, or at or before the watermark, is in the account's log, or was visible
 * before the epoch opened: then every subscriber was told to read again after that.
 */
inline check() {
  stale = TRUSTED && cached && (UP_TO(applied) & ~value) != 0;
  assert(!stale);
#if ACCOUNT_LOSSES > 0
  lost = SERVED && headTerm != 0 && (UP_TO(w) & ~told) != 0; /* at the account's next commit at the latest */
#else
  lost = SERVED && (UP_TO(NEWER(confirmed, w)) & ~told) != 0;
#endif
  assert(!lost)
}

inline endRead(r) { readerAt[r] = IDLE; missW[r] = 0; loaded[r] = 0; missIsOld[r] = false }

/*
 * States that behave alike are made one. Which reader is which makes no difference. A tombstone refuses reads in flight
 * that began at an older watermark, and later ones have a newer: without such a read it makes none.
 */
#define RANK(r) (readerAt[r] * 128 + missIsOld[r] * 64 + missW[r] * 16 + loaded[r])
#define IS_OLDER(r) (readerAt[r] != IDLE && missW[r] < tombstone)
inline swap(one, other) { one = one ^ other; other = one ^ other; one = one ^ other }
inline normalise() {
#if READERS > 1
  if
  :: RANK(0) < RANK(1) ->
     swap(readerAt[0], readerAt[1]); swap(missW[0], missW[1]);
     swap(loaded[0], loaded[1]); swap(missIsOld[0], missIsOld[1])
  :: else
  fi;
#endif
  if :: IS_OLDER(0) || IS_OLDER(READERS - 1) :: else -> tombstone = 0; tombstoneIsOld = 0 fi
}

inline dropAccount() {
  headTerm = 0; w = base; told = UP_TO(base); tombstone = 0; tombstoneIsOld = 0; cached = 0; value = 0
}

/* Keys carry the epoch's name: a new one begins with none, and what readers and other leaders hold is of the older one. */
inline endEpoch() {
  dropAccount(); endRead(0); endRead(READERS - 1); mandated[1] = false; mandated[2] = false
}

/* Two steps of a commit: its record is flushed, and can be decoded; then other sessions see it. */
active proctype Writers() {
end:
  do
  :: d_step { flushed < COMMITS -> flushed++; printf("commit %d is in the WAL\n", flushed) }
  :: d_step { flushed >= 1 && !(visible & 1) -> visible = visible | 1; printf("commit 1 is visible\n") }
  :: d_step { flushed >= 2 && !(visible & 2) -> visible = visible | 2; printf("commit 2 is visible\n") }
#if COMMITS > 2
  :: d_step { flushed >= 3 && !(visible & 4) -> visible = visible | 4; printf("commit 3 is visible\n") }
#endif
  od
}

active [READERS] proctype Reader() {
  byte me = _pid - 1;
end:
  do
  /* READ, and the lease behind it: a miss. A hit is what check() looks at. */
#ifndef NO_READS
  :: d_step { readerAt[me] == IDLE && TRUSTED && !cached ->
       readerAt[me] = MISSED;
#ifndef LATE_WATERMARK
       missW[me] = w;
#endif
       printf("reader %d: a miss, at watermark %d\n", me, missW[me]); normalise() }
#endif
  :: d_step { readerAt[me] == MISSED ->
       loaded[me] = visible; readerAt[me] = LOADED;
       printf("reader %d: its snapshot sees the set %d\n", me, visible); normalise() }
  /* FILL. A miss that is too old has ended its read: see GROW_OLD. */
  :: d_step { readerAt[me] == LOADED ->
#ifdef LATE_WATERMARK
       missW[me] = w;
#endif
       if
       :: tombstone <= missW[me] -> cached = 1; value = loaded[me]; printf("reader %d: the fill is stored\n", me)
       :: else -> printf("reader %d: the fill is fenced\n", me)
       fi;
       endRead(me); normalise(); check() }
  :: d_step { me == 0 && cached -> cached = 0; value = 0; printf("the entry goes, for its age or for room\n") }
  od
}

/* What a replicator is at. */
#define STANDBY 0
#define RAISE 1
#define RELEASE 2
#define READ_SLOT 3
#define JUDGE 4
#define REMAKE 5
#define SETTLE 6
#define OPEN 7
#define FENCE 8
#define START 9
#define STREAM 10
#define APPLY 11
#define ADVANCE 12
#define ACK 13

/* Ends the stream and gives the lock back, as far as they are its own. */
inline stepDown() {
  if :: lock == me -> lock = 0 :: else fi;
  if :: walsender == me -> walsender = 0 :: else fi;
  at = STANDBY; mine = 0; expected = 0; isOver = 0; start = 0; lsn = 0; mandated[me] = false; judged[me] = false
}

inline nextAttempt() { at = RELEASE; start = 0; lsn = 0; judged[me] = false }

/* What only the newest leader may do. */
inline write() {
  deposed = mine < fenced;
  if :: deposed -> printf("replicator %d: writes, by a term that is over\n", me) :: else fi;
  assert(!deposed)
}

inline refused() { printf("replicator %d: refused, its term is over\n", me); stepDown() }

inline release() { walsender = 0 }
inline readTheSlot() { start = confirmed }
inline judge() {
  judged[me] = true;
  if
  :: control && start > position -> at = REMAKE
  :: !control || (start <= position && (!IS_OURS(ours) || IS_MARKED)) -> at = OPEN
  :: else ->
     kept = isOver && mandated[me]; assert(!kept);
     if :: !mandated[me] -> expected = 0 :: else fi;
     mandated[me] = true; judged[me] = false; at = FENCE; start = position; /* beyond which the slot may not have gone */
     printf("replicator %d: the slot is at %d, the epoch is kept\n", me, start)
  fi
}

active [2] proctype Replicator() {
  byte me = _pid - READERS;
  unsigned at : 4;
  unsigned mine : 3; /* its term */
  unsigned start : 3; /* the slot's position as it was judged, then the epoch's */
  unsigned expected : 3; /* watermark it left behind in this epoch, 0 for none */
  bit isOver; /* Redis has answered that it lost something of this mandate's epoch */
  unsigned lsn : 3; /* newest commit decoded */
  if :: me == 1 -> at = RAISE :: else fi;
end:
  do
  /* The advisory lock, and the ways it goes. A leader notices that sooner or later: until then it acts on. */
  :: d_step { at == STANDBY && lock == 0 -> lock = me; at = RAISE; printf("replicator %d: has the lock\n", me) }
  :: d_step { at == STANDBY && lock != 0 && takeovers > 0 ->
       takeovers--; lock = me; at = RAISE; printf("replicator %d: takes the lock of a leader that does not beat\n", me) }
  :: d_step { at != STANDBY && lock != me -> printf("replicator %d: notices that it leads no longer\n", me); stepDown() }
  :: d_step { at != STANDBY && crashes > 0 ->
       crashes--; printf("replicator %d: crashes\n", me);
       stepDown() }

  :: d_step { at == RAISE -> terms++; assert(terms < 7); mine = terms; term = terms; at = RELEASE;
       printf("replicator %d: raises the term to %d\n", me, mine) }
  /* Whoever reads the slot is ended; the slot is read; the epoch is judged by it. */
#ifdef FINE
  :: d_step { at == RELEASE -> release(); at = READ_SLOT }
  :: d_step { at == READ_SLOT -> readTheSlot(); at = JUDGE }
  :: d_step { at == JUDGE -> judge() }
#else
  :: d_step { at == RELEASE -> release(); readTheSlot(); judge() }
#endif
  /* Somebody moved the slot: dropped and made anew, which its being read prevents. Then every commit that the new slot
     will not show must be visible. */
  :: d_step { at == REMAKE && walsender != 0 -> nextAttempt() }
  :: d_step { at == REMAKE && walsender == 0 -> confirmed = flushed; start = flushed; at = SETTLE;
       printf("replicator %d: makes the slot anew, at %d\n", me, start) }
  :: d_step { at == SETTLE && (UP_TO(start) & ~visible) == 0 -> at = OPEN }
  :: d_step { at == OPEN && IS_DEPOSED(term) -> refused() }
  :: d_step { at == OPEN && !IS_DEPOSED(term) ->
       write(); END_EPOCH;
       control = 1; ours = judged[me]; term = mine; position = start; live = 0; liveOurs = 0;
       SET_BASE(start); if :: headTerm == 0 -> w = start :: else fi; told = told | visible; fenced = mine; mandated[me] = true; judged[me] = false; expected = 0; isOver = 0; at = START;
       printf("replicator %d: opens an epoch, from %d\n", me, start); check() }
  :: d_step { at == FENCE ->
       if
       :: IN_EPOCH ->
          if :: headTerm != 0 && headTerm < mine -> headTerm = mine :: else fi;
          if :: term == mine -> fenced = mine :: else fi
       :: else
       fi;
       at = START; printf("replicator %d: fences\n", me) }
  :: d_step { at == START && walsender != 0 -> nextAttempt() }
  :: d_step { at == START && walsender == 0 && HAS_MOVED -> isOver = 1; nextAttempt() }
  :: d_step { at == START && walsender == 0 && !HAS_MOVED ->
       walsender = me; lsn = confirmed; start = 0; at = STREAM; printf("replicator %d: streams from %d\n", me, lsn) }

  /* Decode and gate in one: decoding changes nothing, and what is visible stays so. */
  :: d_step { at == STREAM && walsender != me -> nextAttempt() }
  :: d_step { at == STREAM && walsender == me && lsn < flushed && PASSES(lsn + 1) ->
       lsn++; at = APPLY; printf("replicator %d: decodes commit %d, and the gate lets it pass\n", me, lsn);
       ACK_READ; check() }
  /* A heartbeat has come back: ADVANCE and RENEW, where they change something or are refused. */
  :: d_step { at == STREAM && walsender == me && (IS_DEPOSED(term) || !mandated[me] || !control || !live || !liveOurs) ->
       if
       :: IS_DEPOSED(term) -> refused()
       :: !IS_DEPOSED(term) && (!control || !mandated[me] || !IS_OURS(ours)) ->
          printf("replicator %d: is told that its epoch is lost\n", me); nextAttempt()
       :: !IS_DEPOSED(term) && control && mandated[me] && IS_OURS(ours) ->
          write(); live = 1; liveOurs = ours; position = NEWER(position, lsn);
          printf("replicator %d: renews the lease\n", me); check()
       fi }
  /* APPLY. To keys of another epoch it changes nothing that is read; ADVANCE, which follows, tells. */
  :: d_step { at == APPLY && !IN_EPOCH -> at = ADVANCE }
  :: d_step { at == APPLY && IN_EPOCH && IS_DEPOSED(headTerm) -> refused() }
  :: d_step { at == APPLY && IN_EPOCH && !IS_DEPOSED(headTerm) && IS_BEHIND ->
       printf("replicator %d: is told that the account lost its watermark\n", me); isOver = 1; nextAttempt() }
  :: atomic { at == APPLY && IN_EPOCH && !IS_DEPOSED(headTerm) && !IS_BEHIND ->
       if
       :: headTerm == 0 -> headTerm = mine
       :: else -> headTerm = NEWER(headTerm, mine); if :: lsn > w -> write() :: else fi
       fi;
       if
       :: lsn > w -> told = told | BIT(lsn); w = lsn; cached = 0; value = 0; LEAVE_TOMBSTONE;
          printf("replicator %d: applies commit %d\n", me, lsn)
       :: else -> printf("replicator %d: skips commit %d, a replay\n", me, lsn)
       fi;
       applied = NEWER(applied, lsn);
       /* The answer may be lost on its way: then it calls again. */
       if :: EXPECT(w); at = ADVANCE :: printf("replicator %d: gets no answer\n", me) fi;
       normalise(); check() }
  :: d_step { at == ADVANCE && IS_DEPOSED(term) -> refused() }
  :: d_step { at == ADVANCE && !IS_DEPOSED(term) && (!control || !mandated[me]) ->
       printf("replicator %d: is told that its epoch is lost\n", me); nextAttempt() }
  :: d_step { at == ADVANCE && !IS_DEPOSED(term) && control && mandated[me] ->
       write(); position = NEWER(position, lsn); at = ACK }
  :: d_step { at == ACK && walsender != me -> nextAttempt() }
  :: d_step { at == ACK && walsender == me ->
       unapplied = lsn > applied; assert(!unapplied);
       confirmed = NEWER(confirmed, lsn); at = STREAM; printf("replicator %d: acknowledges commit %d\n", me, lsn); check() }
  od
}

#if defined(NO_READS) && ACCOUNT_LOSSES == 0
/* When nothing more can happen, everything has come all the way, and readers may trust it. */
active proctype Completion() {
end:
  timeout ->
  assert(confirmed == COMMITS && told == UP_TO(COMMITS) && SERVED && TRUSTED)
}
#endif

active proctype Faults() {
end:
  do
  /* Half a tombstone's life goes by. */
  :: d_step { tombstone != 0 || readerAt[0] != IDLE || readerAt[READERS - 1] != IDLE ->
       printf("a minute goes by\n");
       if :: readerAt[0] != IDLE -> GROW_OLD(0) :: else fi;
#if READERS > 1
       if :: readerAt[1] != IDLE -> GROW_OLD(1) :: else fi;
#endif
       if
       :: tombstone != 0 && tombstoneIsOld -> tombstone = 0; tombstoneIsOld = 0
       :: tombstone != 0 && !tombstoneIsOld -> tombstoneIsOld = 1
       :: else
       fi;
       normalise() }
  :: atomic { losses > 0 && control -> losses--;
       END_EPOCH; SET_BASE(0); dropAccount(); fenced = 0; control = 0; term = 0; position = 0; live = 0; liveOurs = 0;
       if
       :: printf("Redis is flushed\n")
       :: judged[1] = false; judged[2] = false; printf("Redis is started anew, empty\n")
       fi;
       ours = 0 }
  /* With what it had saved at some time. Control of an older term is there, and of another process: nothing else of it
     is ever read, so the least that could be refused by it stands for all. */
  :: d_step { losses > 0 && control -> losses--;
       printf("Redis is started anew, with what it had saved when nothing was applied\n");
       fenced = 0; ours = 0; liveOurs = 0; judged[1] = false; judged[2] = false;
       term = 0; headTerm = 0; w = 0; position = 0; tombstone = 0; tombstoneIsOld = 0;
#ifdef NO_RUN_ID
       cached = 1; value = 0; check() }
#else
       cached = 0; value = 0; told = 0; endRead(0); endRead(READERS - 1) }
#endif
  :: d_step { accountLosses > 0 && headTerm != 0 -> accountLosses--; dropAccount(); printf("the account's keys vanish\n"); check() }
  /* What is in the WAL is committed and visible afterwards; the slot may be older than it was. */
  :: atomic { postgresCrashes > 0 && walsender != 0 ->
       postgresCrashes--; lock = 0; walsender = 0; visible = UP_TO(flushed);
       do :: confirmed > 0 -> confirmed-- :: break od;
       printf("Postgres crashes; afterwards the slot is at %d\n", confirmed); check() }
  :: d_step { slotMoves > 0 && control && walsender == 0 && confirmed < flushed ->
       slotMoves--; confirmed = flushed; printf("somebody moves the slot to %d\n", confirmed) }
  od
}
