#!/usr/bin/env node
// Runs bin/clarin.ts: compiled when it has been built for production (or when there is no source),
// else through tsx. In this very process, so that signals and exit codes need nobody to pass them
// on.
import { existsSync } from 'node:fs';

const source = new URL('./clarin.ts', import.meta.url);
const compiled = new URL('../dist/bin/clarin.js', import.meta.url);

if (existsSync(compiled) && (process.env.NODE_ENV === 'production' || !existsSync(source))) {
  process.setSourceMapsEnabled(true);
  await import(compiled.href);
} else {
  const { register } = await import('tsx/esm/api').catch(() => {
    process.stderr.write(
      'clarin: it is neither built nor are its tools installed: run `npm ci` first.\n',
    );
    process.exit(1);
  });
  register();
  await import(source.href);
}
