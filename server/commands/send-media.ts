import { media } from '../../domain/entities/media.ts';
import { inReach, type Reach } from '../../platform/entity-sql/scope.ts';
import type { Queries } from '../../platform/postgres.ts';
import { sql } from '../../platform/sql.ts';
import { mustQuote, refuse, send, type Sender } from './outgoing.ts';

type Options = Sender & {
  chatId: number;
  mediaId: number;
  caption?: string | undefined;
  replyTo?: number | undefined;
};

/**
 * A file is to be sent; what it is sent as follows from its mimetype. Gives its row, JSON text; four statements.
 * @throws ClarinError not_found (the chat), unprocessable, conflict.
 */
export function sendMedia(tx: Queries, options: Options): Promise<string> {
  const { chatId, mediaId, caption, replyTo, ...sender } = options;
  return send(tx, sender, { chatId, targetId: replyTo }, async (place) => {
    const quoted = replyTo === undefined ? undefined : mustQuote(place);
    const file = await readFile(tx, sender, mediaId);
    return { type: sentAs(file.mimetype), body: caption, media: file, mediaId, quoted };
  });
}

type File = { mimetype: string; filename?: string; size: number; state: string };

async function readFile(tx: Queries, reach: Reach, mediaId: number): Promise<File> {
  const [row] = await tx.query(sql`
    select file.mimetype, file.filename, file.size, file.state
    from public.media as file
    where ${inReach(media, 'file', reach)} and file.id = ${mediaId}`);
  if (!row) return refuse('no_such_file', { field: 'body.media_id' });
  if (row['state'] !== 'stored') refuse('not_stored', { field: 'body.media_id' });
  return {
    mimetype: row['mimetype'] ?? '',
    ...(row['filename'] ? { filename: row['filename'] } : {}),
    size: Number(row['size']),
    state: row['state'] ?? '',
  };
}

const IMAGES = ['image/jpeg', 'image/png', 'image/webp', 'image/gif'];
const VIDEOS = ['video/mp4', 'video/3gpp', 'video/quicktime'];

/** What WhatsApp shows in the conversation itself; every other file is a document to be opened. */
export function sentAs(mimetype: string): 'image' | 'video' | 'audio' | 'document' {
  const [type = ''] = mimetype.toLowerCase().split(';');
  if (IMAGES.includes(type.trim())) return 'image';
  if (VIDEOS.includes(type.trim())) return 'video';
  return type.startsWith('audio/') ? 'audio' : 'document';
}
