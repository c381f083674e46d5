/**
 * How a stored file leaves, so that no browser ever runs one. The bytes are a stranger's and the address is ours: a page,
 * a drawing or a script shown from it would act as the person who looks at it.
 */

/** Shown in place. None of them can hold a script that has our origin. */
const INLINE = new Set([
  'image/jpeg',
  'image/png',
  'image/webp',
  'image/gif',
  'video/mp4',
  'video/3gpp',
  'video/ogg',
  'audio/mp4',
  'audio/3gpp',
  'audio/ogg',
  'audio/mpeg',
  'audio/aac',
  'audio/amr',
  'audio/amr-wb',
  'application/pdf',
]);

/** Saved under their own name; what is in neither list is bytes and nothing more. */
const ATTACHED = [
  /^application\/(zip|x-ole-storage|msword|json)$/,
  /^application\/vnd\.(ms-excel|ms-powerpoint)$/,
  /^application\/vnd\.oasis\.opendocument\.(text|spreadsheet|presentation)$/,
  /^application\/vnd\.openxmlformats-officedocument\.(wordprocessingml\.document|spreadsheetml\.sheet|presentationml\.presentation)$/,
  /^text\/(plain|csv|vcard|calendar)$/,
];

/** Header values, ready to be sent. */
export type ServingHeaders = {
  readonly 'content-type': string;
  readonly 'content-disposition': string;
  readonly 'x-content-type-options': 'nosniff';
  readonly 'content-security-policy'?: string;
};

type File = {
  /** What `sniffContentType` said when it was stored. Another one is safe here too, but may become a download. */
  readonly contentType: string;
  readonly filename?: string | undefined;
  /** A person pressed "download". */
  readonly isDownload?: boolean;
};

/** The headers to serve a file with; of any content type and any name, a hostile one included. */
export function decideServing({ contentType, filename, isDownload }: File): ServingHeaders {
  const essence = (contentType.split(';')[0] ?? '').trim().toLowerCase();
  const isInline = INLINE.has(essence) && isDownload !== true;
  return {
    'content-type': safeType(essence, contentType),
    'content-disposition': formatDisposition(isInline ? 'inline' : 'attachment', filename),
    'x-content-type-options': 'nosniff',
    // Should a browser render it after all, nothing in it runs or loads. Not for PDF: browsers show it in a page of
    // their own, which takes over the policy and then may not load its own parts.
    ...(essence !== 'application/pdf' && {
      'content-security-policy': "default-src 'none'; sandbox",
    }),
  };
}

function safeType(essence: string, contentType: string): string {
  if (essence === 'audio/ogg' && /;\s*codecs=opus\s*$/i.test(contentType)) {
    return 'audio/ogg; codecs=opus';
  }
  // Without a charset a browser guesses; what we store as text is UTF-8 where it is not older than that.
  if (INLINE.has(essence) || ATTACHED.some((pattern) => pattern.test(essence))) {
    return essence.startsWith('text/') ? `${essence}; charset=utf-8` : essence;
  }
  return 'application/octet-stream';
}

const NAME_CHARACTERS_MAX = 150;

/** RFC 6266: the name twice, in ASCII for old programs and in UTF-8 as RFC 8187 writes it. */
function formatDisposition(kind: 'inline' | 'attachment', filename: string | undefined): string {
  const name = cleanName(filename ?? '');
  if (name === '') return kind;
  const plain = name.replaceAll(/[^\x20-\x7e]|[%"\\]/g, '_');
  const encoded = encodeURIComponent(name).replaceAll(
    /['()*!]/g,
    (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`,
  );
  return `${kind}; filename="${plain}"; filename*=UTF-8''${encoded}`;
}

/**
 * No folders, no control characters, and none of the invisible ones that turn the direction of writing: with those
 * `gpj.exe` reads as `exe.jpg`. Of a long name the end is kept, where its extension is.
 */
function cleanName(filename: string): string {
  const base = filename.toWellFormed().split(/[/\\]/).at(-1) ?? '';
  const visible = base.replaceAll(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, '').trim();
  return Array.from(visible).slice(-NAME_CHARACTERS_MAX).join('').replace(/^\.+/, '');
}
