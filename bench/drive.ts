import { Connection } from './client.ts';
import { Samples, type Measured } from './samples.ts';
import type { Request, Traffic } from './traffic.ts';

export type Phase = {
  readonly origin: string;
  readonly traffic: Traffic;
  readonly readers: number;
  readonly seconds: number;
  /** Between two requests of one reader, on average; 0: the next one follows the answer at once. */
  readonly pauseMs: number;
  readonly isBypassed: boolean;
};

/** A read that names a commit which is still to come is answered from Postgres. */
const BYPASS = { 'clarin-min-commit': 'FFFFFFFF/FFFFFFFF' };

/**
 * Readers at work until the time is over. With a pause, a request is measured from the moment it was due: when one answer is
 * late, so are those behind it, and they say so.
 */
export async function drive(phase: Phase): Promise<Measured> {
  const measured = new Map<string, Samples>();
  const endsAt = performance.now() + phase.seconds * 1_000;
  const readers = Array.from({ length: phase.readers }, (_, number) =>
    read(phase, number, { measured, endsAt }),
  );
  await Promise.all(readers);
  return measured;
}

type Run = { readonly measured: Map<string, Samples>; readonly endsAt: number };

async function read(phase: Phase, number: number, { measured, endsAt }: Run): Promise<void> {
  const connection = new Connection(phase.origin);
  const random = phase.traffic.randomOf(number);
  // Spread over the pause, so that readers do not come in step.
  let dueAt = performance.now() + (phase.pauseMs * number) / phase.readers;
  // Whoever cannot keep up leaves undone what was due: the number of requests tells.
  while (dueAt < endsAt && performance.now() < endsAt) {
    await waitUntil(dueAt);
    const request = phase.traffic.next(random);
    const from = phase.pauseMs === 0 ? performance.now() : dueAt;
    const answer = await connection.send(callOf(request, phase.isBypassed));
    const now = performance.now();
    const samples = measured.get(request.route) ?? new Samples();
    measured.set(request.route, samples);
    samples.add(now - from, answer);
    dueAt = phase.pauseMs === 0 ? now : dueAt + phase.pauseMs * (0.5 + random());
  }
  connection.close();
}

function callOf({ method, path, body, token }: Request, isBypassed: boolean) {
  const headers = { authorization: `Bearer ${token}` };
  return {
    method,
    path,
    headers: isBypassed && method === 'GET' ? { ...headers, ...BYPASS } : headers,
    body: body === undefined ? undefined : JSON.stringify(body),
  };
}

async function waitUntil(at: number): Promise<void> {
  const millis = at - performance.now();
  if (millis > 0) await new Promise((resolve) => setTimeout(resolve, millis));
}
