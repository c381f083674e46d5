import { relative } from 'node:path';
import { CHECKOUT } from './data-directory.ts';

export type Ready = {
  readonly api: string;
  readonly feed: string;
  readonly database: string;
  readonly redis: string;
  readonly login: { readonly username: string; readonly password: string };
};

/** What a newcomer reads. The last line is for programs. */
export function formatGreeting(
  ready: Ready,
  {
    dataDirectory,
    kommoAdmin,
    whatsapp,
  }: {
    dataDirectory: string;
    kommoAdmin?: string | undefined;
    whatsapp?: { readonly admin: string; readonly phone: string } | undefined;
  },
): string {
  const { username, password } = ready.login;
  const body = quote(JSON.stringify({ username, password }));
  const login = `curl -s ${ready.api}/api/auth/login -H 'content-type: application/json' -d ${body}`;
  const token = `$(${login} | node -pe 'JSON.parse(require("fs").readFileSync(0)).token')`;
  const script = (name: string): string => `node ${quote(`${here()}bin/${name}`)}`;
  return `
Clarin is running.

  api       ${ready.api}   (documentation: ${ready.api}/docs)
  feed      ${ready.feed}
  database  ${ready.database}
  redis     ${ready.redis}
  login     ${username} / ${password}
  data      ${dataDirectory}   (survives; remove it to start anew)
  logs      ${dataDirectory}/logs

Read leads; the second time from the cache (header Clarin-Cache):

  curl -si ${ready.api}/api/leads -H "Authorization: Bearer ${token}"

Watch what commits, in another terminal:

  ${script('watch-feed.mjs')} ${ready.api} ${ready.feed} ${quote(username)} ${quote(password)}

Write by SQL, as any program may, and see it arrive there:

  ${script('sql.mjs')} ${quote(ready.database)} "update leads set title = 'Changed by SQL' where id = (select min(id) from leads)"

${kommoAdmin === undefined ? '' : formatKommo(kommoAdmin)}${whatsapp === undefined ? '' : formatWhatsApp(whatsapp)}Ctrl-C stops all of it.
`;
}

function formatKommo(admin: string): string {
  return `The account is connected to a fake Kommo, where something happens every few seconds. Do something there yourself:

  curl -s ${admin}/leads -d '{"name": "From Kommo", "price": 90}'

`;
}

function formatWhatsApp({ admin, phone }: { admin: string; phone: string }): string {
  const message = { from: '51987654301', to: phone, what: { text: 'hola' } };
  return `A device is linked with a fake WhatsApp, where people write and answer. Let one of them write:

  curl -s ${admin}/messages -d ${quote(JSON.stringify(message))}

`;
}

/** Empty in the checkout itself, so that the lines stay short where they are most often pasted. */
function here(): string {
  return relative(CHECKOUT, process.cwd()) === '' ? '' : CHECKOUT;
}

/** One word for a shell, quoted only where it needs to be. */
export function quote(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}
