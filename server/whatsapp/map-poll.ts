import { proto } from '@whiskeysockets/baileys';
import type { ReceivedContent } from '../commands/received-content.ts';
import { readNumber, readText } from './read-values.ts';

type PollContent = Extract<ReceivedContent, { kind: 'poll' }>;

/** Undefined: no poll, or one without a question. */
export function mapPoll(message: proto.IMessage): PollContent | undefined {
  const poll = pollIn(message);
  const question = readText(poll?.name);
  if (!poll || question === undefined) return undefined;
  const selectable = readNumber(poll.selectableOptionsCount) ?? 0;
  return { kind: 'poll', question, options: optionsOf(poll), selectable: Math.max(0, selectable) };
}

/** Names of a poll's options, in their order, as its votes mean them. */
export function pollOptions(message: proto.IMessage): string[] {
  const poll = pollIn(message);
  return poll ? optionsOf(poll) : [];
}

/** What votes are opened with, encoded: the poll and its secret, and nothing else. */
export function encodePoll(message: proto.IMessage, messageSecret: Uint8Array): Uint8Array {
  const pollCreationMessage = pollIn(message) ?? null;
  const kept = { pollCreationMessage, messageContextInfo: { messageSecret } };
  return proto.Message.encode(proto.Message.create(kept)).finish();
}

function pollIn(message: proto.IMessage): proto.Message.IPollCreationMessage | undefined {
  return (
    message.pollCreationMessage ??
    message.pollCreationMessageV2 ??
    message.pollCreationMessageV3 ??
    message.pollCreationMessageV5 ??
    undefined
  );
}

function optionsOf(poll: proto.Message.IPollCreationMessage): string[] {
  return (poll.options ?? []).flatMap(({ optionName }) => readText(optionName) ?? []);
}
