#!/usr/bin/env node
// Behind `tsc`: what the compiled program reads beside its own code goes to the same place below
// dist/.
import { cp, mkdir, readdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../', import.meta.url));
const folders = ['domain', 'platform', 'server', 'replicator', 'migrations'];
const kinds = /\.(sql|lua|html|css)$/;

for (const folder of folders) {
  for (const name of await readdir(join(root, folder), { recursive: true })) {
    if (!kinds.test(name)) continue;
    const target = join(root, 'dist', folder, name);
    await mkdir(dirname(target), { recursive: true });
    await cp(join(root, folder, name), target);
  }
}
