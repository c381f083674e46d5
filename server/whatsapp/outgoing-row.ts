/** A message of ours as its row has it, with what its sending needs to know of other rows. */
export type OutgoingRow = {
  readonly id: number;
  readonly chatId: number;
  /** Whom the chat is with. */
  readonly jid: string;
  /** The stanza's id. */
  readonly stanzaId: string;
  readonly type: string;
  readonly body: string | undefined;
  /** What the message says of its file. */
  readonly media: MediaSays;
  /** Its file, where it has one. */
  readonly file: OutgoingFile | undefined;
  readonly poll: { readonly options?: readonly string[]; readonly selectable_count?: number };
  readonly location: {
    readonly latitude?: number;
    readonly longitude?: number;
    readonly name?: string;
    readonly address?: string;
  };
  readonly quoted: Quoted | undefined;
  /** What a reaction, an edit or a revocation is about. */
  readonly target: OutgoingTarget | undefined;
  readonly isForwarded: boolean;
};

export type MediaSays = {
  readonly mimetype?: string;
  readonly filename?: string;
  readonly duration_seconds?: number;
  readonly is_voice?: boolean;
};

export type OutgoingFile = {
  readonly id: number;
  readonly objectKey: string;
  readonly mimetype: string;
  readonly filename: string | undefined;
  /** Bytes. */
  readonly size: number;
};

export type Quoted = {
  readonly stanzaId: string;
  /** Who wrote it. Undefined: us. */
  readonly author: string | undefined;
  /** The beginning of its text. */
  readonly text: string | undefined;
  /** Undefined: it is not there any more. */
  readonly type: string | undefined;
  readonly media: MediaSays;
};

export type OutgoingTarget = {
  readonly stanzaId: string;
  readonly isFromMe: boolean;
  /** Who wrote it, in a group. */
  readonly author: string | undefined;
};
