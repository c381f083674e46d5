import { execFile } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { Agent } from 'node:https';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { downloadMediaMessage, type WAMessage } from '@whiskeysockets/baileys';
import { describe, expect, it } from 'vitest';
import { makeCertificate } from '../../../fakes/whatsapp/certificate.ts';
import { eventually } from '../../support/eventually.ts';
import { startFake, startStage } from './support.ts';

const run = promisify(execFile);
const ROOT = fileURLToPath(new URL('../../../', import.meta.url));
const DOCUMENT = Buffer.from('a document, not short '.repeat(3_000));

describe('files that a device sends', () => {
  it('are uploaded over TLS with what it was told, and are read by who gets them', async () => {
    const { fake, ana, join } = await startStage();
    const client = join({ fetchAgent: new Agent({ ca: fake.certificate }) });
    await client.isOpen();
    const sent = await client.socket.sendMessage(ana.phoneJid, {
      document: DOCUMENT,
      mimetype: 'application/pdf',
      fileName: 'lista.pdf',
    });
    const received = await eventually(() => ana.find(sent?.key.id ?? ''));
    expect(received.message.documentMessage).toMatchObject({ fileName: 'lista.pdf' });
    expect((await fake.download(received.message)).equals(DOCUMENT)).toBe(true);
    expect(fake.world.files.list().map(({ uploadedTo }) => uploadedTo)).toEqual(['/mms/document']);
  });

  it('are refused without what it was told, and when they shall be', async () => {
    const { fake, ana, join } = await startStage();
    const plain = await fetch(`${fake.httpUrl}/mms/image/hash?auth=no`, {
      method: 'POST',
      body: 'x',
    });
    expect(plain.status).toBe(401);
    fake.world.faults.add({ does: { kind: 'upload-status', status: 500 } });
    const client = join({ fetchAgent: new Agent({ ca: fake.certificate }) });
    await client.isOpen();
    const content = { document: DOCUMENT, mimetype: 'text/plain' };
    await expect(client.socket.sendMessage(ana.phoneJid, content)).rejects.toThrow('upload failed');
    expect(fake.world.files.list()).toEqual([]);
  });

  it('and those of others can be had in parts, and be out of reach', async () => {
    const { fake, ana, own, join } = await startStage();
    const client = join();
    await client.isOpen();
    const content = await fake.media({ kind: 'document', bytes: DOCUMENT, by: 'http' });
    const { id } = await fake.write({ from: ana, to: own }, content);
    const message: WAMessage = await client.message(id);
    const { url } = message.message?.documentMessage ?? {};
    const part = await fetch(url ?? '', { headers: { range: 'bytes=0-31' } });
    expect([part.status, (await part.arrayBuffer()).byteLength]).toEqual([206, 32]);
    fake.world.faults.add({ times: 1, does: { kind: 'download-status', status: 503 } });
    await expect(downloadMediaMessage(message, 'buffer', {})).rejects.toMatchObject({
      output: { statusCode: 503 },
    });
    expect((await downloadMediaMessage(message, 'buffer', {})).length).toBe(DOCUMENT.length);
  });
});

describe('files that are read', () => {
  it('are refused when they are damaged, or of another key', async () => {
    const { fake } = await startStage();
    const content = await fake.media({ kind: 'document', bytes: DOCUMENT });
    expect((await fake.download(content)).equals(DOCUMENT)).toBe(true);
    const [file] = fake.world.files.list();
    file!.bytes[100]! ^= 1;
    await expect(fake.download(content)).rejects.toThrow('damaged');
    const other = await fake.media({ kind: 'document', bytes: DOCUMENT });
    other.documentMessage!.mediaKey = content.documentMessage!.mediaKey!;
    await expect(fake.download(other)).rejects.toThrow('damaged');
    await expect(fake.download({ conversation: 'hola' })).rejects.toThrow('without a file');
  });

  it('over TLS, by their path, are read by a process that trusts the certificate', async () => {
    const fake = await startFake();
    const { documentMessage } = await fake.media({
      kind: 'document',
      bytes: DOCUMENT,
      by: 'https',
    });
    const { url, directPath, mediaKey } = documentMessage ?? {};
    const key = Buffer.from(mediaKey ?? []).toString('base64');
    const about = JSON.stringify({ url, directPath });
    const script = `
      const { downloadContentFromMessage } = await import('@whiskeysockets/baileys');
      const about = { ...${about}, mediaKey: Buffer.from('${key}', 'base64') };
      let length = 0;
      for await (const part of await downloadContentFromMessage(about, 'document')) length += part.length;
      process.stdout.write(String(length));`;
    const { stdout } = await run(process.execPath, ['--input-type=module', '-e', script], {
      cwd: ROOT,
      env: { PATH: process.env['PATH'], NODE_EXTRA_CA_CERTS: fake.certificatePath },
    });
    expect(stdout).toBe(String(DOCUMENT.length));
    expect(fake.world.files.list().map(({ downloads }) => downloads)).toEqual([1]);
  });
});

describe('the certificate', () => {
  it('is one of X.509, for this machine, signed by itself', () => {
    const { certificate } = makeCertificate('Fake');
    const read = new X509Certificate(certificate);
    expect(read.subject).toBe('CN=Fake');
    expect(read.ca).toBe(true);
    expect(read.checkIP('127.0.0.1')).toBe('127.0.0.1');
    expect(read.checkHost('localhost')).toBe('localhost');
    expect(read.verify(read.publicKey)).toBe(true);
    expect(read.checkIssued(read)).toBe(true);
  });

  it('is believed by a process that is started with it, and by no other', async () => {
    const fake = await startFake();
    const { path } = fake.world.files.put(Buffer.from('over TLS'));
    const script = `fetch('${fake.filesUrl}${path}').then(async (a) => console.log(await a.text()))`;
    const start = (extra: Record<string, string>) =>
      run(process.execPath, ['-e', script], { env: { PATH: process.env['PATH'], ...extra } });
    const { stdout } = await start({ NODE_EXTRA_CA_CERTS: fake.certificatePath });
    expect(stdout).toBe('over TLS\n');
    await expect(start({})).rejects.toMatchObject({
      stderr: expect.stringContaining('self-signed certificate'),
    });
  });
});
