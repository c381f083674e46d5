import { describe, expect, it } from 'vitest';
import {
  judgeAck,
  judgeSendError,
  SEND_REFUSALS,
  SendFault,
  SendRefusal,
} from '../../../server/whatsapp/judge-send.ts';

/** An error of Baileys', by its fields. */
const boom = (statusCode: number, data?: unknown): Error =>
  Object.assign(new Error('Boom'), { isBoom: true, data, output: { statusCode } });

describe('what WhatsApp answers to a message', () => {
  it.each([
    ['463', { kind: 'failed', reason: SEND_REFUSALS.restricted }],
    ['479', { kind: 'failed', reason: SEND_REFUSALS.rejected }],
    ['429', { kind: 'pause' }],
    ['420', { kind: 'pause' }],
    ['500', { kind: 'retry', reason: SEND_REFUSALS.unknown }],
    ['503', { kind: 'retry', reason: SEND_REFUSALS.unknown }],
    ['406', { kind: 'failed', reason: 'WhatsApp refused it (error 406).' }],
    ['nonsense', { kind: 'failed', reason: 'WhatsApp refused it (error nonsense).' }],
  ])('%s', (error, verdict) => {
    expect(judgeAck(error)).toEqual(verdict);
  });
});

describe('what goes wrong on the way out', () => {
  const judge = (error: unknown, isGroup = false) => judgeSendError(error, { isGroup });

  it.each([
    ['a refusal is final', new SendRefusal('No.'), { kind: 'failed', reason: 'No.' }],
    ['a fault is tried again', new SendFault('Later.'), { kind: 'retry', reason: 'Later.' }],
    ['no connection counts for nothing', boom(428), { kind: 'disconnected' }],
    ['too many questions', boom(500, 429), { kind: 'pause' }],
    [
      'anything else is tried again',
      new Error('?'),
      { kind: 'retry', reason: SEND_REFUSALS.unknown },
    ],
    ['a person has no door', boom(500, 403), { kind: 'retry', reason: SEND_REFUSALS.unknown }],
  ])('%s', (_, error, verdict) => {
    expect(judge(error)).toEqual(verdict);
  });

  it('a group that does not let us in is final', () => {
    expect(judge(boom(500, 403), true)).toEqual({
      kind: 'failed',
      reason: SEND_REFUSALS.not_in_group,
    });
  });
});
