import { describe, expect, it } from 'vitest';
import type { WebSocket } from 'uWebSockets.js';
import { CLOSE, SOCKET_BACKLOG_BYTES_MAX } from '../../domain/feed-protocol.ts';
import { createMetrics } from '../../platform/metrics.ts';
import { BacklogBudget } from '../../replicator/feed/backlog-budget.ts';
import { Connection } from '../../replicator/feed/connection.ts';
import { BACKLOG_BYTES_MAX, DRAIN_TIMEOUT_MS } from '../../replicator/feed/limits.ts';

const metrics = createMetrics('test');
const BYTES = Buffer.alloc(1024 * 1024);

/** A socket whose reader takes what the test says, and how it was closed. */
class Reader {
  waiting = 0;
  closedBy: 'end' | 'close' | undefined;
  readonly connection: Connection;

  constructor(budget: BacklogBudget) {
    const ws = {
      getBufferedAmount: () => this.waiting,
      cork: (work: () => void) => work(),
      send: (frame: Buffer) => {
        this.waiting += frame.length;
        return 1;
      },
      end: () => this.#closed('end'),
      close: () => this.#closed('close'),
    };
    this.connection = new Connection({
      ws: ws as unknown as WebSocket<unknown>,
      metrics,
      budget,
    });
  }

  #closed(how: 'end' | 'close'): void {
    this.closedBy = how;
    this.connection.onClosed();
  }

  give(bytes: number): ReturnType<Connection['offer']> {
    const offer = this.connection.offer([BYTES.subarray(0, bytes)], bytes);
    this.connection.flush();
    return offer;
  }

  take(): void {
    this.waiting = 0;
    this.connection.onDrain();
  }
}

/** Until it is not taken any more. */
function fill(reader: Reader, bytes: number): ReturnType<Connection['offer']> {
  for (;;) {
    const offer = reader.give(bytes);
    if (offer !== 'queued') return offer;
  }
}

const FRAME = 40_000;

describe('what waits in the sockets of a server', () => {
  it('[F26] is bounded however many stall, and the more they are the less each may hold', () => {
    const budget = new BacklogBudget();
    const first = new Reader(budget);
    expect(fill(first, FRAME)).toBe('too slow');
    expect(first.waiting).toBeGreaterThan(SOCKET_BACKLOG_BYTES_MAX - FRAME);
    const many = Array.from({ length: 1_000 }, () => new Reader(budget));
    for (let round = 0; round < 20; round++) for (const reader of many) reader.give(FRAME);
    const waiting = many.reduce((sum, reader) => sum + reader.waiting, first.waiting);
    expect(budget.bytes).toBe(waiting);
    // One frame each is always taken: whether somebody reads it shows only then.
    expect(waiting).toBeLessThan(BACKLOG_BYTES_MAX + FRAME);
    const healthy = new Reader(budget);
    for (let n = 0; n < 100; n++) {
      expect(healthy.give(FRAME)).toBe('queued');
      healthy.take();
    }
    for (const reader of [first, ...many]) reader.take();
    expect(budget.bytes).toBe(0);
  });

  it('[F26] counts for a while when it is closed with 4408, and is let go at once when there is no room', () => {
    const budget = new BacklogBudget(10 * FRAME);
    const [slow, another] = [new Reader(budget), new Reader(budget)];
    slow.give(FRAME);
    slow.connection.close(CLOSE.tooSlow, '');
    expect([slow.closedBy, budget.bytes]).toEqual(['end', FRAME]);
    another.give(9 * FRAME);
    expect(budget.limitBytes).toBe(0);
    another.connection.close(CLOSE.tooSlow, '');
    expect([another.closedBy, budget.bytes]).toEqual(['close', FRAME]);
    budget.stop();
  });

  it('[F26] and is not taken for too long closes its socket, also when nothing more comes', () => {
    const reader = new Reader(new BacklogBudget());
    expect(reader.connection.isStalled(0)).toBe(false);
    reader.give(FRAME);
    reader.give(FRAME);
    expect(reader.connection.isStalled(1)).toBe(false);
    expect(reader.connection.isStalled(1 + DRAIN_TIMEOUT_MS)).toBe(false);
    reader.waiting = FRAME;
    reader.connection.onDrain();
    expect(reader.connection.isStalled(2 + DRAIN_TIMEOUT_MS)).toBe(false);
    expect(reader.connection.isStalled(3 + 2 * DRAIN_TIMEOUT_MS)).toBe(true);
    reader.take();
    expect(reader.connection.isStalled(4 + 2 * DRAIN_TIMEOUT_MS)).toBe(false);
  });

  it.each([CLOSE.unauthenticated, CLOSE.forbidden])(
    '[F21] is not sent to somebody who is closed with %i: he may no longer have it',
    (code) => {
      const [reader, upToDate] = [new Reader(new BacklogBudget()), new Reader(new BacklogBudget())];
      reader.give(FRAME);
      reader.connection.close(code, '');
      expect(reader.closedBy).toBe('close');
      upToDate.connection.close(code, '');
      expect(upToDate.closedBy).toBe('end');
    },
  );
});
