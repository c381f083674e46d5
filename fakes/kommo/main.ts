import { parseArgs } from 'node:util';
import { ClarinError } from '../../domain/errors.ts';
import { EXIT } from '../../platform/lifecycle.ts';
import { editAtRandom } from './edits.ts';
import { startFakeKommo, type FakeKommo } from './fake-kommo.ts';
import { accountInput } from './inputs.ts';
import { createRandom } from './random.ts';

/** `clarin fake-kommo`: a Kommo on this machine, with one account and the real clock, until Ctrl-C. */
export type Wishes = {
  readonly port: number;
  readonly leads: number;
  readonly contacts: number;
  readonly seed: number;
  readonly subdomain: string;
  /** Edits a minute, as people make them; 0: nothing happens by itself. */
  readonly edits: number;
};

const DEFAULTS = { port: '4790', leads: '500', contacts: '400', seed: '1', edits: '0' } as const;
const MAXIMA = {
  port: 65_535,
  leads: 1_000_000,
  contacts: 1_000_000,
  seed: 2 ** 31,
  edits: 60_000,
} as const;
type NumberName = keyof typeof DEFAULTS;

/** @throws ClarinError `configuration` for words it does not know. */
export function readWishes(words: readonly string[]): Wishes {
  const text = { type: 'string' } as const;
  const options = { port: text, leads: text, contacts: text, seed: text, edits: text } as const;
  let values: { [Name in NumberName | 'subdomain']?: string | undefined };
  try {
    ({ values } = parseArgs({ args: [...words], options: { ...options, subdomain: text } }));
  } catch (error) {
    throw new ClarinError('configuration', error instanceof Error ? error.message : String(error));
  }
  const number = (name: NumberName): number => {
    const value = values[name] ?? DEFAULTS[name];
    if (/^\d+$/.test(value) && Number(value) <= MAXIMA[name]) return Number(value);
    throw new ClarinError('configuration', `--${name} is a number up to ${MAXIMA[name]}`);
  };
  const subdomain = accountInput.shape.subdomain.safeParse(values.subdomain ?? 'demo');
  if (!subdomain.success) throw new ClarinError('configuration', '--subdomain is a host name');
  return {
    port: number('port'),
    leads: number('leads'),
    contacts: number('contacts'),
    seed: number('seed'),
    edits: number('edits'),
    subdomain: subdomain.data,
  };
}

/** Resolves when it was told to stop. */
export async function runFakeKommo(words: readonly string[]): Promise<number> {
  const wishes = readWishes(words);
  const asked = new Promise<void>((resolve) => {
    for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(name, () => resolve());
  });
  const { fake, access, stop } = await openFakeKommo(wishes);
  process.stdout.write(greet(fake, wishes, access.longLivedToken));
  const ready = { url: fake.url, ...access };
  process.stdout.write(`fake-kommo ready ${JSON.stringify(ready)}\n`);
  await asked;
  await stop();
  return EXIT.ok;
}

/** With its account and its life. @throws ClarinError `configuration` for a port that is taken. */
export async function openFakeKommo(wishes: Wishes) {
  const { port, seed, subdomain, leads, contacts, edits } = wishes;
  const fake = await startFakeKommo({ port, seed }).catch((error: unknown) => {
    throw new ClarinError('configuration', `It cannot listen on 127.0.0.1:${port}.`, {
      cause: error,
    });
  });
  const access = fake.createAccount({ subdomain, name: 'Demo' });
  fake.world(subdomain).generate({ leads, contacts });
  const life = edits > 0 ? live(fake, wishes) : undefined;
  return {
    fake,
    access,
    stop: async () => {
      clearInterval(life);
      await fake.stop();
    },
  };
}

function live(fake: FakeKommo, { subdomain, seed, edits }: Wishes): NodeJS.Timeout {
  const random = createRandom(seed, 'edits');
  const world = fake.world(subdomain);
  return setInterval(() => void editAtRandom(world, random), 60_000 / edits);
}

function greet(fake: FakeKommo, { subdomain, leads, contacts }: Wishes, token: string): string {
  const account = `${fake.url}/${subdomain}`;
  return `
A fake Kommo is running: for development, on this machine only.

  account   ${account}   (${leads} leads, ${contacts} contacts)
  token     ${token}
  admin     ${fake.url}/__admin   (fakes/kommo/README.md)

Read it as Kommo is read:

  curl -s '${account}/api/v4/leads?limit=1&with=contacts' -H 'Authorization: Bearer ${token}'

Change something:

  curl -s ${fake.url}/__admin/accounts/${subdomain}/edits -d '{"count": 1, "seed": 1}'

Ctrl-C stops it, and nothing of it is kept.
`;
}
