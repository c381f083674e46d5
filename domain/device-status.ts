/** How a device is, in a word. */
export const DEVICE_STATUSES = [
  'disconnected',
  'pairing',
  'connecting',
  'connected',
  'logged_out',
  'banned',
] as const;
export type DeviceStatus = (typeof DEVICE_STATUSES)[number];

type Saying = {
  /** The status that it comes with. */
  readonly status: DeviceStatus;
  /** For people: what has happened, and what they can do. */
  readonly says: string;
  /** Nothing is tried any more before somebody asks for it anew, or `retry_at` has come. */
  readonly isFinal: boolean;
};

/**
 * Why a device is as it is, for programs (`status_code`) and for people (`status_reason`). A device that is as people
 * want it has neither.
 */
const SAYINGS = {
  connection_lost: {
    status: 'connecting',
    says: 'The connection to WhatsApp was lost. It is tried again by itself.',
    isFinal: false,
  },
  no_answer: {
    status: 'connecting',
    says: 'WhatsApp does not answer. It is tried again by itself.',
    isFinal: false,
  },
  refused: {
    status: 'connecting',
    says: 'WhatsApp did not let the connection begin. It is tried again by itself.',
    isFinal: false,
  },
  unavailable: {
    status: 'connecting',
    says: 'WhatsApp says that it is not available at the moment. It is tried again by itself.',
    isFinal: false,
  },
  stream_error: {
    status: 'connecting',
    says: 'WhatsApp ended the connection with an error. It is tried again by itself.',
    isFinal: false,
  },
  replaced: {
    status: 'connecting',
    says: 'Another program took over the session of this device. It is taken back in half a minute.',
    isFinal: false,
  },
  client_outdated: {
    status: 'connecting',
    says: 'WhatsApp no longer accepts this version of the client. Operators know; the device comes back by itself and stays paired.',
    isFinal: false,
  },
  account_inactive: {
    status: 'disconnected',
    says: 'The account is not active. The device connects again when it is.',
    isFinal: false,
  },
  not_paired: {
    status: 'disconnected',
    says: 'The device is not linked to a phone. Pair it, by QR or by a code.',
    isFinal: true,
  },
  pairing_expired: {
    status: 'disconnected',
    says: 'Nobody used the QR or the code in time. Ask for a new one.',
    isFinal: true,
  },
  number_taken: {
    status: 'disconnected',
    says: 'The number is the one of another device of the account: it was not linked a second time. Pair that device, or delete it first; its chats stay.',
    isFinal: true,
  },
  other_number: {
    status: 'disconnected',
    says: 'Another number was linked than this device had. Its chats belong to the number before, so the new one was not linked. Pair the number before, or make another device for the new one.',
    isFinal: true,
  },
  conflict: {
    status: 'disconnected',
    says: 'Another program takes over the session of this device again and again. Stop it, then connect the device.',
    isFinal: true,
  },
  bad_session: {
    status: 'disconnected',
    says: 'WhatsApp ends the connection right after each login. Connect the device again later; if that does not help, log it out and pair it anew.',
    isFinal: true,
  },
  fault: {
    status: 'disconnected',
    says: 'The device stopped because of a fault of ours. Operators know; it is tried again in a quarter of an hour, or at once when you connect it.',
    isFinal: true,
  },
  logged_out_by_phone: {
    status: 'logged_out',
    says: 'The device was unlinked, on the phone or by WhatsApp. Pair it again.',
    isFinal: true,
  },
  multi_device_mismatch: {
    status: 'logged_out',
    says: 'WhatsApp no longer knows how this device was linked. Pair it again.',
    isFinal: true,
  },
  logout_unconfirmed: {
    status: 'logged_out',
    says: 'The device was logged out here, but WhatsApp could not be told. Remove it on the phone, under linked devices.',
    isFinal: true,
  },
  banned: {
    status: 'banned',
    says: 'WhatsApp has blocked this number. Nothing is tried for a day; look into WhatsApp on the phone for what can be done.',
    isFinal: true,
  },
} as const satisfies Readonly<Record<string, Saying>>;

export type DeviceCode = keyof typeof SAYINGS;

export const DEVICE_CODES = Object.keys(SAYINGS) as readonly DeviceCode[];

/** What a device of this code says. */
export const sayingOf = (code: DeviceCode): Saying => SAYINGS[code];

/** After these nothing is tried before somebody asks for it anew, or `retry_at` has come. */
export const FINAL_DEVICE_CODES = DEVICE_CODES.filter((code) => sayingOf(code).isFinal);
