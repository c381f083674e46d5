#!/usr/bin/env node
// Prints what the feed says: node bin/watch-feed.mjs <api> <feed> <username> <password> [table ...]
// A whole client in one page, to read as much as to run. What it lacks is in docs/spec/feed.md:
// resuming from the last cursor after a break, and a fresh token on the same socket before the old
// one expires.
import WebSocket from 'ws';

const [api, feed, username, password, ...tables] = process.argv.slice(2);
if (password === undefined) {
  process.stderr.write('usage: watch-feed <api> <feed> <username> <password> [table ...]\n');
  process.exit(1);
}
const watched = tables.length > 0 ? tables : ['leads', 'contacts', 'tags', 'lead_tags'];

const answer = await fetch(`${api}/api/auth/login`, {
  method: 'POST',
  headers: { 'content-type': 'application/json' },
  body: JSON.stringify({ username, password }),
});
const login = await answer.json();
if (!answer.ok) {
  process.stderr.write(`login: ${answer.status} ${JSON.stringify(login)}\n`);
  process.exit(1);
}

const socket = new WebSocket(feed);
const send = (message) => socket.send(JSON.stringify(message));

socket.on('open', () => send({ type: 'hello', version: 1, token: login.token }));
socket.on('message', (data) => {
  const text = Buffer.from(data).toString();
  const message = JSON.parse(text);
  // Once a second, to show that the feed is alive: of no use to a reader.
  if (message.type === 'heartbeat') return;
  process.stdout.write(`${text}\n`);
  if (message.type === 'welcome') {
    send({ type: 'subscribe', id: 'watch', tables: watched.map((table) => ({ table })) });
  }
});
socket.on('error', (error) => process.stderr.write(`${error.message}\n`));
socket.on('close', (code, reason) => {
  process.stderr.write(`closed: ${code} ${String(reason)}\n`);
  process.exit(code === 1000 ? 0 : 1);
});
