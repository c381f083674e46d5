#!/usr/bin/env node
// For a container's health check: node bin/health.mjs <port> [live | ready]. Exit code 0 when it
// answers 200.
const [port, probe = 'ready'] = process.argv.slice(2);
try {
  const answer = await fetch(`http://127.0.0.1:${port}/health/${probe}`, {
    signal: AbortSignal.timeout(2_000),
  });
  if (!answer.ok) process.stdout.write(await answer.text());
  process.exitCode = answer.ok ? 0 : 1;
} catch (error) {
  process.stdout.write(`${error.message}\n`);
  process.exitCode = 1;
}
