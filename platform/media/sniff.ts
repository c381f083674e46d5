/**
 * What a file is, by its first bytes. What a sender declares only decides between the types of one family, whose bytes
 * look alike (a spreadsheet and a zip): a page that calls itself a picture stays a text.
 */

/** Enough for every rule here, the names inside of an office document included. */
export const SNIFF_BYTES = 4_096;

const UNKNOWN = 'application/octet-stream';

const WORD = 'application/vnd.openxmlformats-officedocument.wordprocessingml.document';
const SHEET = 'application/vnd.openxmlformats-officedocument.spreadsheetml.sheet';
const SLIDES = 'application/vnd.openxmlformats-officedocument.presentationml.presentation';
const OPEN_DOCUMENT = 'application/vnd.oasis.opendocument.';
const OPEN_DOCUMENTS = ['text', 'spreadsheet', 'presentation'].map((kind) => OPEN_DOCUMENT + kind);

/** Types one look cannot tell apart; the first is what it is when the sender names none of them. */
const FAMILIES = {
  mp4: ['video/mp4', 'audio/mp4'],
  threegpp: ['video/3gpp', 'audio/3gpp'],
  ogg: ['audio/ogg', 'video/ogg'],
  zip: ['application/zip', WORD, SHEET, SLIDES, ...OPEN_DOCUMENTS],
  compound: [
    'application/x-ole-storage',
    'application/msword',
    'application/vnd.ms-excel',
    'application/vnd.ms-powerpoint',
  ],
  text: ['text/plain', 'text/csv', 'text/vcard', 'text/calendar', 'application/json'],
} as const satisfies Record<string, readonly [string, ...string[]]>;

/** How senders spell some of them. */
const ALIASES: Readonly<Record<string, string>> = {
  'audio/m4a': 'audio/mp4',
  'audio/x-m4a': 'audio/mp4',
  'text/x-vcard': 'text/vcard',
};

type Rule = (head: Buffer, declared: string) => string | undefined;

const ascii = (head: Buffer, start: number, end: number): string =>
  head.toString('latin1', start, end);

/** Fixed bytes at the beginning, in latin1. */
const begins =
  (magic: string, type: string): Rule =>
  (head) =>
    ascii(head, 0, magic.length) === magic ? type : undefined;

const RULES: readonly Rule[] = [
  begins('\xff\xd8\xff', 'image/jpeg'),
  begins('\x89PNG\r\n\x1a\n', 'image/png'),
  begins('GIF87a', 'image/gif'),
  begins('GIF89a', 'image/gif'),
  (head) =>
    ascii(head, 0, 4) === 'RIFF' && ascii(head, 8, 12) === 'WEBP' ? 'image/webp' : undefined,
  sniffIsoMedia,
  sniffOgg,
  begins('#!AMR\n', 'audio/amr'),
  begins('#!AMR-WB\n', 'audio/amr-wb'),
  begins('ID3', 'audio/mpeg'),
  begins('%PDF-', 'application/pdf'),
  sniffZip,
  (head, declared) =>
    ascii(head, 0, 8) === '\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1'
      ? oneOf(FAMILIES.compound, declared)
      : undefined,
  sniffText,
  sniffMpegFrame,
];

/**
 * The content type of a file that begins with `head` (SNIFF_BYTES, or all of it when it is shorter). `declared` is the
 * sender's, with or without parameters. Only Ogg with Opus gets a parameter, as WhatsApp writes it.
 */
export function sniffContentType(head: Uint8Array, declared = ''): string {
  const bytes = Buffer.from(head.buffer, head.byteOffset, Math.min(head.byteLength, SNIFF_BYTES));
  const essence = (declared.split(';')[0] ?? '').trim().toLowerCase();
  for (const rule of RULES) {
    const type = rule(bytes, ALIASES[essence] ?? essence);
    if (type !== undefined) return type;
  }
  return UNKNOWN;
}

function oneOf(family: readonly [string, ...string[]], declared: string): string {
  return family.includes(declared) ? declared : family[0];
}

/** ISO base media: the brands of its first box. A brand we do not know is not called a film. */
function sniffIsoMedia(head: Buffer, declared: string): string | undefined {
  if (ascii(head, 4, 8) !== 'ftyp' || head.length < 12) return undefined;
  const boxEnd = Math.min(head.readUInt32BE(0), head.length);
  const brands = [ascii(head, 8, 12)];
  for (let at = 16; at + 4 <= boxEnd; at += 4) brands.push(ascii(head, at, at + 4));
  for (const brand of brands) {
    if (/^M4[AB] $/.test(brand)) return 'audio/mp4';
    if (/^3g[ehprst]/.test(brand)) return oneOf(FAMILIES.threegpp, declared);
    if (/^(iso[m2-9]|mp4[12]|avc1|M4V |MSNV|dash)$/.test(brand)) {
      return oneOf(FAMILIES.mp4, declared);
    }
  }
  return undefined;
}

/** The first packet of an Ogg file names its codec; it follows the table of the first page's segments. */
function sniffOgg(head: Buffer, declared: string): string | undefined {
  if (ascii(head, 0, 4) !== 'OggS') return undefined;
  const packet = 27 + (head[26] ?? 0);
  if (ascii(head, packet, packet + 8) === 'OpusHead') return 'audio/ogg; codecs=opus';
  if (ascii(head, packet, packet + 7) === '\x80theora') return 'video/ogg';
  return oneOf(FAMILIES.ogg, declared);
}

/** An entry of a zip: this, more numbers, and from here on its name. */
const ENTRY = 'PK\x03\x04';
const ENTRY_BYTES = 30;
const FOLDERS = [
  ['word/', WORD],
  ['xl/', SHEET],
  ['ppt/', SLIDES],
] as const;

/** Office documents are zips: an OpenDocument says so in its first entry, the others by their folders. */
function sniffZip(head: Buffer, declared: string): string | undefined {
  const signature = ascii(head, 0, 4);
  // An archive without entries has its end only.
  if (signature === 'PK\x05\x06') return FAMILIES.zip[0];
  if (signature !== ENTRY || head.length < ENTRY_BYTES) return undefined;
  const nameEnd = ENTRY_BYTES + head.readUInt16LE(26);
  const name = ascii(head, ENTRY_BYTES, nameEnd);
  if (name === 'mimetype') {
    const stored = nameEnd + head.readUInt16LE(28);
    const type = ascii(head, stored, stored + head.readUInt32LE(18));
    return OPEN_DOCUMENTS.includes(type) ? type : FAMILIES.zip[0];
  }
  if (!/^(\[Content_Types\]\.xml|_rels\/|docProps\/|word\/|xl\/|ppt\/)/.test(name)) {
    return FAMILIES.zip[0];
  }
  const document = FOLDERS.find(([folder]) => hasEntry(head, folder));
  if (document) return document[1];
  // Its folders begin later than we look.
  return oneOf(FAMILIES.zip, declared);
}

function hasEntry(head: Buffer, folder: string): boolean {
  for (let at = head.indexOf(folder); at >= 0; at = head.indexOf(folder, at + 1)) {
    if (at >= ENTRY_BYTES && ascii(head, at - ENTRY_BYTES, at - ENTRY_BYTES + 4) === ENTRY)
      return true;
  }
  return false;
}

/** MPEG audio without a tag before it: a frame header of layer III, or of AAC in ADTS. */
function sniffMpegFrame(head: Buffer): string | undefined {
  const [first = 0, second = 0, third = 0] = head;
  if (first !== 0xff) return undefined;
  if ((second & 0xf6) === 0xf0) return 'audio/aac';
  const isLayer3 = (second & 0xe6) === 0xe2 && (second & 0x18) !== 0x08;
  const hasRates = third >> 4 !== 0xf && (third & 0x0c) !== 0x0c;
  return isLayer3 && hasRates ? 'audio/mpeg' : undefined;
}

/**
 * No byte that only binary files have (WHATWG MIME Sniffing, "binary data byte"), whatever the encoding; with a mark of
 * UTF-16 in front also those. Pages, drawings and scripts are texts here, and are never called anything else.
 */
function sniffText(head: Buffer, declared: string): string | undefined {
  const isUtf16 = /^(\xfe\xff|\xff\xfe)/.test(ascii(head, 0, 2));
  if (!isUtf16 && head.some(isBinary)) return undefined;
  return oneOf(FAMILIES.text, declared);
}

function isBinary(byte: number): boolean {
  return byte <= 0x08 || byte === 0x0b || (byte >= 0x0e && byte <= 0x1a) || isSeparator(byte);
}

function isSeparator(byte: number): boolean {
  return byte >= 0x1c && byte <= 0x1f;
}
