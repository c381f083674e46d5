/**
 * Whether nobody handled an error because Baileys leaves it: it answers stanzas in functions whose promises it drops, so
 * that a frame that cannot be read, or a socket that ends in the middle of an answer, is an unhandled rejection (7.0.0-rc14,
 * `ws.on('CB:...', async ...)` in Socket/socket.js). It is of one socket, which ends by itself or by its watchdog; the
 * others of the process have nothing to do with it.
 */
export function isOfBaileys(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  // What our store throws at it, so that it stops.
  if (error.name === 'SessionOver') return true;
  return /[/\\]node_modules[/\\](@whiskeysockets[/\\]baileys|libsignal)[/\\]/.test(
    error.stack ?? '',
  );
}
