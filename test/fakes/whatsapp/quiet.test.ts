import { expect, it, onTestFinished, vi } from 'vitest';
import { eventually } from '../../support/eventually.ts';
import { startOpen } from './support.ts';

it('what libsignal prints, keys and all, is dropped, and what others print is not', async () => {
  const printer = vi.spyOn(globalThis.console, 'info').mockImplementation(() => undefined);
  onTestFinished(() => printer.mockRestore());
  const { fake, ana, own, device, client } = await startOpen();
  // A session that takes the place of another one: libsignal prints the old one whole.
  for (const text of ['uno', 'dos']) {
    await fake.write({ from: ana, to: own }, text);
    await ana.signal.forget(device.signalJid);
  }
  await eventually(() => client.messages.length === 2);
  expect(printer.mock.calls).toEqual([]);
  globalThis.console.info('somebody else');
  expect(printer.mock.calls).toEqual([['somebody else']]);
});
