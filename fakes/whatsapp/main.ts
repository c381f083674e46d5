import { parseArgs } from 'node:util';
import { ClarinError } from '../../domain/errors.ts';
import { EXIT } from '../../platform/lifecycle.ts';
import { startFakeWhatsApp, type FakeWhatsApp } from './fake-whatsapp.ts';
import { CUSTOMERS, startLife } from './life.ts';

/** `clarin fake-whatsapp`: a WhatsApp on this machine, with a phone of yours and some people, until Ctrl-C. */
export type Wishes = {
  readonly port: number;
  readonly filesPort: number;
  /** Digits: of the phone that scans what you show. */
  readonly phone: string;
  readonly seed: number;
  /** People write by themselves, once a device is linked. */
  readonly isAlive: boolean;
};

const MAXIMA = { port: 65_535, 'files-port': 65_535, seed: 2 ** 31 } as const;
const DEFAULTS = { port: '4791', 'files-port': '0', seed: '1' } as const;
type NumberName = keyof typeof DEFAULTS;

/** @throws ClarinError `configuration` for words it does not know. */
export function readWishes(words: readonly string[]): Wishes {
  const text = { type: 'string' } as const;
  const options = {
    port: text,
    'files-port': text,
    seed: text,
    phone: text,
    life: { type: 'boolean' },
  } as const;
  let values: { [Name in NumberName | 'phone']?: string | undefined } & { life?: boolean };
  try {
    ({ values } = parseArgs({ args: [...words], options }));
  } catch (error) {
    throw new ClarinError('configuration', error instanceof Error ? error.message : String(error));
  }
  const number = (name: NumberName): number => {
    const value = values[name] ?? DEFAULTS[name];
    if (/^\d+$/.test(value) && Number(value) <= MAXIMA[name]) return Number(value);
    throw new ClarinError('configuration', `--${name} is a number up to ${MAXIMA[name]}`);
  };
  const phone = values.phone ?? '51999000001';
  if (!/^\d{8,15}$/.test(phone)) {
    throw new ClarinError('configuration', '--phone is digits with country code');
  }
  return {
    port: number('port'),
    filesPort: number('files-port'),
    seed: number('seed'),
    phone,
    isAlive: values.life ?? false,
  };
}

/** Resolves when it was told to stop. */
export async function runFakeWhatsApp(words: readonly string[]): Promise<number> {
  const wishes = readWishes(words);
  const asked = new Promise<void>((resolve) => {
    for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(name, () => resolve());
    // Of dev, whose end is no signal to a session of its own.
    process.on('disconnect', () => resolve());
  });
  const { fake, stop } = await open(wishes);
  process.stdout.write(greet(fake, wishes));
  const { url, httpUrl, filesUrl, certificatePath } = fake;
  const ready = { url, httpUrl, filesUrl, certificatePath, phone: wishes.phone };
  process.stdout.write(`fake-whatsapp ready ${JSON.stringify(ready)}\n`);
  await asked;
  await stop();
  return EXIT.ok;
}

async function open({ port, filesPort, phone, seed, isAlive }: Wishes) {
  const fake = await startFakeWhatsApp({ port, filesPort }).catch((error: unknown) => {
    throw new ClarinError('configuration', `It cannot listen on 127.0.0.1:${port}.`, {
      cause: error,
    });
  });
  const own = fake.addPerson({ phone, name: 'Demo' });
  const people = CUSTOMERS.filter(([number]) => number !== phone).map(([number, name]) =>
    fake.addPerson({ phone: number, name }),
  );
  const life = isAlive ? startLife(fake.world, fake, { own, people, seed }) : undefined;
  return {
    fake,
    stop: async () => {
      life?.stop();
      await fake.stop();
    },
  };
}

function greet(fake: FakeWhatsApp, { phone }: Wishes): string {
  const admin = `${fake.httpUrl}/__admin`;
  return `
A fake WhatsApp is running: for development, on this machine only.

  WHATSAPP_URL         ${fake.url}
  NODE_EXTRA_CA_CERTS  ${fake.certificatePath}   (for who uploads files)
  your phone           ${phone}
  admin                ${admin}   (fakes/whatsapp/README.md)

Scan what a device shows, with your phone:

  curl -s ${admin}/people/${phone}/scan -d '{"qr": "https://wa.me/..."}'

Somebody writes to you:

  curl -s ${admin}/messages -d '{"from": "${CUSTOMERS[0][0]}", "to": "${phone}", "what": {"text": "hola"}}'

Ctrl-C stops it, and nothing of it is kept.
`;
}
