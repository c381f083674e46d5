import { storableJson, storableText } from './storable-text.ts';

/** A file that came with a message, to be fetched later: its row is written with it, in state pending. */
type ReceivedFile = {
  readonly mimetype: string;
  readonly filename?: string | undefined;
  /** Bytes. */
  readonly size?: number | undefined;
  readonly durationSeconds?: number | undefined;
  readonly isVoice?: boolean | undefined;
};

/** What a message says, or does to the message whose stanza is `target`, which may not have come yet. */
export type ReceivedContent =
  | { readonly kind: 'text'; readonly text: string }
  | {
      readonly kind: 'image' | 'video' | 'audio' | 'document' | 'sticker';
      readonly caption?: string | undefined;
      readonly file: ReceivedFile;
    }
  | {
      readonly kind: 'location';
      readonly latitude: number;
      readonly longitude: number;
      readonly name?: string | undefined;
      readonly address?: string | undefined;
    }
  /** One vCard, or several behind one another. */
  | { readonly kind: 'contact'; readonly vcard: string }
  | {
      readonly kind: 'poll';
      readonly question: string;
      readonly options: readonly string[];
      /** How many one may choose; 0: any number. */
      readonly selectable: number;
    }
  /** A notice of WhatsApp's own. Nobody wrote it, so it is never unread. */
  | { readonly kind: 'system'; readonly text?: string | undefined }
  /** One that cannot be read, or not yet: when it comes again and can, this row becomes it. */
  | { readonly kind: 'unknown'; readonly text?: string | undefined }
  /** Without an emoji the reaction is taken back. */
  | { readonly kind: 'reaction'; readonly target: string; readonly emoji: string | null }
  | { readonly kind: 'edit'; readonly target: string; readonly text: string }
  | { readonly kind: 'revoke'; readonly target: string };

/** The columns of a message that its content decides. */
type ContentColumns = {
  readonly message_type: ReceivedContent['kind'];
  readonly body: string | null;
  readonly target_message_id: string | null;
  /** JSON text. */
  readonly media: string | null;
  readonly poll: string | null;
  readonly location: string | null;
};

const BODY_MAX = 65_536;
const EMOJI_MAX = 64;
const MIMETYPE_MAX = 200;
const FILENAME_MAX = 255;
const BYTES_MAX = 2_147_483_647;
const OPTIONS_MAX = 20;
const OPTION_MAX = 500;
const PLACE_MAX = 1_000;

export function columnsOf(content: ReceivedContent): ContentColumns {
  const none = { target_message_id: null, media: null, poll: null, location: null };
  const says = (text: string | null | undefined, charactersMax = BODY_MAX) => ({
    ...none,
    message_type: content.kind,
    body: storableText(text, charactersMax) ?? null,
  });
  switch (content.kind) {
    case 'text':
    case 'system':
    case 'unknown':
      return says(content.text);
    case 'contact':
      return says(content.vcard);
    case 'image':
    case 'video':
    case 'audio':
    case 'document':
    case 'sticker':
      return { ...says(content.caption), media: storableJson(describeFile(content.file)) };
    case 'location':
      return { ...says(content.name), location: storableJson(describePlace(content)) };
    case 'poll':
      return { ...says(content.question), poll: storableJson(describePoll(content)) };
    case 'reaction':
      return { ...says(content.emoji, EMOJI_MAX), target_message_id: content.target };
    case 'edit':
      return { ...says(content.text), target_message_id: content.target };
    case 'revoke':
      return { ...says(null), target_message_id: content.target };
    default:
      return content satisfies never;
  }
}

/** The row of a file as its columns take it. */
export function storableFile({ mimetype, filename, size }: ReceivedFile): {
  mimetype: string;
  filename: string | undefined;
  size: number;
} {
  return {
    mimetype: storableText(mimetype, MIMETYPE_MAX) ?? 'application/octet-stream',
    filename: storableText(filename, FILENAME_MAX),
    size: Math.min(Math.max(Math.trunc(size ?? 0) || 0, 0), BYTES_MAX),
  };
}

function describeFile(file: ReceivedFile): Record<string, unknown> {
  return {
    ...storableFile(file),
    state: 'pending',
    duration_seconds: file.durationSeconds,
    is_voice: file.isVoice,
  };
}

type OfKind<Kind> = Extract<ReceivedContent, { kind: Kind }>;

function describePlace({ latitude, longitude, name, address }: OfKind<'location'>) {
  return {
    latitude,
    longitude,
    name: storableText(name, PLACE_MAX),
    address: storableText(address, PLACE_MAX),
  };
}

function describePoll({ options, selectable }: OfKind<'poll'>) {
  return { options: storableOptions(options), selectable_count: selectable };
}

/** Names of options as a poll and its votes have them. */
export function storableOptions(options: readonly string[]): string[] {
  return options
    .slice(0, OPTIONS_MAX)
    .map((option) => storableText(option, OPTION_MAX) ?? '')
    .filter((option) => option !== '');
}
