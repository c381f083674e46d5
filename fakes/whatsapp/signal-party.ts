import {
  addTransactionCapability,
  DEFAULT_CONNECTION_CONFIG,
  encodeBigEndian,
  encodeWAMessage,
  initAuthCreds,
  KEY_BUNDLE_TYPE,
  proto,
  unpadRandomMax16,
  xmppSignedPreKey,
  type BinaryNode,
  type KeyPair,
  type SignalDataTypeMap,
  type SignalKeyStore,
  type SignalRepositoryWithLIDStore,
} from '@whiskeysockets/baileys';
import { silent } from './quiet.ts';

/** Of a device, as it registered or uploaded it: what somebody needs to write to it first. */
export type Bundle = {
  readonly registrationId: number;
  readonly identityKey: Uint8Array;
  readonly signedPreKey: {
    readonly keyId: number;
    readonly publicKey: Uint8Array;
    readonly signature: Uint8Array;
  };
  readonly preKey?: { readonly keyId: number; readonly publicKey: Uint8Array };
};

export type Encrypted = { readonly type: 'pkmsg' | 'msg'; readonly ciphertext: Uint8Array };

/** One end of Signal conversations: the phone of somebody, with a real identity and real sessions, in memory. */
export class SignalParty {
  readonly #creds = initAuthCreds();
  readonly #keys = addTransactionCapability(memoryStore(), silent, {
    maxCommitRetries: 1,
    delayBetweenTriesMs: 1,
  });
  readonly #repository: SignalRepositoryWithLIDStore;

  constructor() {
    const auth = { creds: this.#creds, keys: this.#keys };
    this.#repository = DEFAULT_CONNECTION_CONFIG.makeSignalRepository(auth, silent);
  }

  get identityKey(): KeyPair {
    return this.#creds.signedIdentityKey;
  }

  get registrationId(): number {
    return this.#creds.registrationId;
  }

  /** What the server tells who wants to write to it. Without a one-time key: Signal needs none. */
  keysNode(jid: string): BinaryNode {
    return {
      tag: 'user',
      attrs: { jid },
      content: [
        {
          tag: 'registration',
          attrs: {},
          content: encodeBigEndian(this.#creds.registrationId),
        },
        { tag: 'type', attrs: {}, content: KEY_BUNDLE_TYPE },
        { tag: 'identity', attrs: {}, content: this.#creds.signedIdentityKey.public },
        xmppSignedPreKey(this.#creds.signedPreKey),
      ],
    };
  }

  /** For one device; `bundleOf` is asked when there is no session with it. */
  async encrypt(to: string, bundleOf: () => Bundle, content: proto.IMessage): Promise<Encrypted> {
    if (!(await this.#repository.validateSession(to)).exists) {
      await this.#repository.injectE2ESession({ jid: to, session: bundleOf() });
    }
    const { type, ciphertext } = await this.#repository.encryptMessage({
      jid: to,
      data: encodeWAMessage(content),
    });
    return { type, ciphertext };
  }

  /** @throws Error of libsignal's when it cannot: used twice, another session, damaged. */
  async decrypt(from: string, { type, ciphertext }: Encrypted): Promise<proto.Message> {
    const plain = await this.#repository.decryptMessage({ jid: from, type, ciphertext });
    return proto.Message.decode(unpadRandomMax16(plain));
  }

  /** The next message to it begins a session. */
  async forget(jid: string): Promise<void> {
    await this.#repository.deleteSession([jid]);
  }

  /** With its own key for the group, and what the others need to read what is written with it. */
  async encryptForGroup(
    group: string,
    ownJid: string,
    content: proto.IMessage,
  ): Promise<{ ciphertext: Uint8Array; distribution: proto.IMessage }> {
    const { ciphertext, senderKeyDistributionMessage } = await this.#repository.encryptGroupMessage(
      {
        group,
        meId: ownJid,
        data: encodeWAMessage(content),
      },
    );
    const item = {
      groupId: group,
      axolotlSenderKeyDistributionMessage: senderKeyDistributionMessage,
    };
    return { ciphertext, distribution: { senderKeyDistributionMessage: item } };
  }

  /** The sender's key for the group, of a message that brought it. */
  async learnSenderKey(from: string, content: proto.IMessage): Promise<void> {
    const item = content.senderKeyDistributionMessage;
    if (!item) return;
    await this.#repository.processSenderKeyDistributionMessage({ authorJid: from, item });
  }

  /** @throws Error when the sender's key for the group is unknown. */
  async decryptFromGroup(
    group: string,
    from: string,
    ciphertext: Uint8Array,
  ): Promise<proto.Message> {
    const plain = await this.#repository.decryptGroupMessage({
      group,
      authorJid: from,
      msg: ciphertext,
    });
    return proto.Message.decode(unpadRandomMax16(plain));
  }

  close(): void {
    this.#repository.close?.();
  }
}

function memoryStore(): SignalKeyStore {
  const values = new Map<string, unknown>();
  return {
    get: <T extends keyof SignalDataTypeMap>(type: T, ids: string[]) => {
      const found: { [id: string]: SignalDataTypeMap[T] } = {};
      for (const id of ids) {
        const value = values.get(`${type}/${id}`);
        if (value !== undefined) found[id] = value as SignalDataTypeMap[T];
      }
      return found;
    },
    set: (data) => {
      for (const [type, ofType] of Object.entries(data)) {
        for (const [id, value] of Object.entries(ofType ?? {})) {
          const key = `${type}/${id}`;
          if (value === null) values.delete(key);
          else values.set(key, value);
        }
      }
    },
  };
}
