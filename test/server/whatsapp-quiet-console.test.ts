import { Writable } from 'node:stream';
import { inspect } from 'node:util';
import {
  generateSignalPubKey,
  getBinaryNodeChild,
  getBinaryNodeChildBuffer,
  type BinaryNode,
} from '@whiskeysockets/baileys';
import { pino } from 'pino';
import { afterEach, expect, test } from 'vitest';
import { SignalParty, type Bundle } from '../../fakes/whatsapp/signal-party.ts';
import { quietConsole } from '../../server/ingest/whatsapp/quiet-console.ts';

const METHODS = ['log', 'info', 'warn', 'error', 'debug', 'trace', 'dir', 'table'] as const;
const own = METHODS.map((method) => [method, globalThis.console[method]] as const);
afterEach(() => {
  for (const [method, print] of own) globalThis.console[method] = print;
});

const [ANA, BERTA] = ['1000000001@lid', '1000000002@lid'];

/** Berta has a session with Ana and gets another one: libsignal closes the first, and prints it. */
async function talk(): Promise<void> {
  const [ana, berta] = [new SignalParty(), new SignalParty()];
  const bundle = bundleOf(berta);
  for (const text of ['one', 'two']) {
    await ana.forget(BERTA);
    const said = await ana.encrypt(BERTA, () => bundle, { conversation: text });
    expect((await berta.decrypt(ANA, said)).conversation).toBe(text);
  }
  ana.close();
  berta.close();
}

/** Out of what the server would tell of her. */
function bundleOf(party: SignalParty): Bundle {
  const node = party.keysNode(BERTA);
  const skey = getBinaryNodeChild(node, 'skey');
  const bytes = (of: BinaryNode | undefined, tag: string): Buffer =>
    Buffer.from(getBinaryNodeChildBuffer(of, tag) as Uint8Array);
  return {
    registrationId: bytes(node, 'registration').readUInt32BE(),
    identityKey: generateSignalPubKey(bytes(node, 'identity')),
    signedPreKey: {
      keyId: bytes(skey, 'id').readUIntBE(0, 3),
      publicKey: generateSignalPubKey(bytes(skey, 'value')),
      signature: bytes(skey, 'signature'),
    },
  };
}

/** What reaches the console, standard output and standard error meanwhile. */
async function printed(work: () => Promise<void>): Promise<string> {
  const writes: string[] = [];
  const streams = [process.stdout, process.stderr] as const;
  const writers = streams.map((stream) => stream.write.bind(stream));
  for (const stream of streams)
    stream.write = (chunk: unknown) => {
      writes.push(String(chunk));
      return true;
    };
  try {
    await work();
  } finally {
    streams.forEach((stream, at) => (stream.write = writers[at] as typeof stream.write));
  }
  return writes.join('');
}

test('[A11] what libsignal prints, private keys among it, reaches nobody', async () => {
  const print = (...said: unknown[]): void =>
    void process.stdout.write(said.map((each) => inspect(each, { depth: 9 })).join(' '));
  for (const method of METHODS) globalThis.console[method] = print;
  expect(await printed(talk)).toContain('privKey');

  const lines: string[] = [];
  const sink = new Writable({
    write: (chunk, _, done) => {
      lines.push(String(chunk));
      done();
    },
  });
  quietConsole(pino({ level: 'trace', base: null, timestamp: false }, sink));
  expect(await printed(talk)).toBe('');
  expect(new Set(lines)).toEqual(
    new Set(['{"level":20,"msg":"a library wrote to the console"}\n']),
  );
});
