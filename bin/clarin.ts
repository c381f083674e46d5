import { ClarinError } from '../domain/errors.ts';
import { EXIT, exitCodeOf } from '../platform/lifecycle.ts';
import { findRole, USAGE } from './roles.ts';

/**
 * One program, several roles: `clarin <role> [words]`. Roles that serve run until SIGTERM or
 * SIGINT; the others end by themselves. Exit codes: see platform/lifecycle.ts.
 */
const [name, ...words] = process.argv.slice(2);

// Started by a program that talks to us (clarin dev, the tests): when it is gone, so are we.
// It may be gone already: then the channel is, but `send` still says that there was one.
if (process.send) {
  const leave = (): void => void process.kill(process.pid, 'SIGTERM');
  process.once('disconnect', leave);
  if (!process.connected) leave();
  process.channel?.unref();
}

function refuse(sentence: string): never {
  process.stderr.write(`clarin: ${sentence}\n\n${USAGE}`);
  process.exit(EXIT.configuration);
}

if (name === '--help' || name === '-h' || name === 'help') {
  process.stdout.write(USAGE);
  process.exit(EXIT.ok);
}
if (name === undefined) refuse('which role? Name one.');
const role = findRole(name);
if (role === undefined) refuse(`there is no role "${name}".`);

try {
  process.exit(await role.run(words));
} catch (error) {
  const sentence = error instanceof Error ? error.message : String(error);
  process.stderr.write(`clarin: ${sentence}\n`);
  // A sentence is for the operator; a fault of ours needs its stack.
  if (!(error instanceof ClarinError)) process.stderr.write(`${String((error as Error).stack)}\n`);
  process.exit(exitCodeOf(error));
}
