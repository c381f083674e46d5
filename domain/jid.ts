/**
 * WhatsApp's addresses, `user@server`. What an address names is decided by its server alone, before anybody looks
 * at digits: a LID is as many digits as a phone number and is none.
 */
export type Jid =
  /** A person by phone number. `user` is the number as WhatsApp has it, which is not always the one dialled. */
  | PersonJid<'user'>
  /** A person by an id that says nothing of the number. */
  | PersonJid<'lid'>
  | OtherJid<'group'>
  /** Where everybody's status updates arrive. */
  | OtherJid<'status'>
  | OtherJid<'broadcast'>
  | OtherJid<'newsletter'>
  | OtherJid<'bot'>;

type OtherJid<Kind extends string> = {
  readonly kind: Kind;
  /** What stands before the @, without agent and device. */
  readonly user: string;
  /** The form to store and to compare: server in lower case, old names of a server replaced, no device. */
  readonly address: string;
};

type PersonJid<Kind extends string> = OtherJid<Kind> & {
  /** Which of the person's devices; 0 is the phone itself. */
  readonly device: number;
};

export const USER_SERVER = 's.whatsapp.net';

/** `user`, `_agent`, `:device`, `@server`. */
const JID = /^([\w-]+?)(?:_\d{1,3})?(?::(\d{1,3}))?@([a-z.]+)$/;
/** As many digits as E.164 allows. `0` is what WhatsApp itself writes from, and no person. */
const NUMBER = /^[1-9]\d{5,14}$/;
const ID = /^[1-9]\d{0,31}$/;
/** Groups of old carry the number of whoever made them: `51987654321-1500000000`. */
const GROUP = /^[1-9]\d{0,31}(?:-\d{1,31})?$/;
/** As long as the columns that hold one. */
const LENGTH_MAX = 128;

/** Undefined when the text is no address of WhatsApp, or one of nobody: `0@s.whatsapp.net`, `server@c.us`. */
export function parseJid(text: string): Jid | undefined {
  if (text.length > LENGTH_MAX) return undefined;
  const [, user, device = '0', server] = JID.exec(text.toLowerCase()) ?? [];
  if (user === undefined || server === undefined) return undefined;
  const address = `${user}@${server}`;
  switch (server) {
    case USER_SERVER:
    case 'c.us':
    case 'hosted':
      if (!NUMBER.test(user)) return undefined;
      return { kind: 'user', user, device: Number(device), address: `${user}@${USER_SERVER}` };
    case 'lid':
    case 'hosted.lid':
      if (!ID.test(user)) return undefined;
      return { kind: 'lid', user, device: Number(device), address: `${user}@lid` };
    case 'g.us':
      return GROUP.test(user) ? { kind: 'group', user, address } : undefined;
    case 'broadcast':
      if (user === 'status') return { kind: 'status', user, address };
      return ID.test(user) ? { kind: 'broadcast', user, address } : undefined;
    case 'newsletter':
      return ID.test(user) ? { kind: 'newsletter', user, address } : undefined;
    case 'bot':
      return ID.test(user) ? { kind: 'bot', user, address } : undefined;
    default:
      return undefined;
  }
}
