import { proto } from '@whiskeysockets/baileys';
import type { LinkedDevice } from './linked-device.ts';
import type { World } from './world.ts';
import { writeToOwnDevice } from './write.ts';

const { PeerDataOperationRequestType, ProtocolMessage } = proto.Message;

/**
 * A device asks its phone for messages that it could not read, or that came without content. The phone has them: it sends
 * them whole, if `phoneResends` says that it is reachable.
 */
export async function answerOwnRequest(
  world: World,
  device: LinkedDevice,
  { id, message }: { id: string; message: proto.IMessage },
): Promise<void> {
  const asked = message.protocolMessage?.peerDataOperationRequestMessage;
  const keys = (asked?.placeholderMessageResendRequest ?? []).flatMap(
    ({ messageKey }) => messageKey ?? [],
  );
  const found = keys.flatMap((key) => {
    const written = world.written(key.id ?? '');
    if (!written) return [];
    const info: proto.IWebMessageInfo = {
      key,
      message: written.content,
      messageTimestamp: Math.floor(Date.now() / 1_000),
      pushName: written.from.name,
    };
    const webMessageInfoBytes = proto.WebMessageInfo.encode(info).finish();
    return [{ placeholderMessageResendResponse: { webMessageInfoBytes } }];
  });
  if (found.length === 0 || !world.settings.phoneResends) return;
  await writeToOwnDevice(world, device, {
    protocolMessage: {
      type: ProtocolMessage.Type.PEER_DATA_OPERATION_REQUEST_RESPONSE_MESSAGE,
      peerDataOperationRequestResponseMessage: {
        peerDataOperationRequestType: PeerDataOperationRequestType.PLACEHOLDER_MESSAGE_RESEND,
        stanzaId: id,
        peerDataOperationResult: found,
      },
    },
  });
}
