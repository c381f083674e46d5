import { expect, test } from 'vitest';
import { createLog } from '../../platform/log.ts';
import { createRedis } from '../../platform/redis.ts';
import { openLink } from '../soak/faults/link.ts';
import { commonRedisUrl, eventually } from '../support/services.ts';

const log = createLog({ component: 'cache', level: 'silent' });

test.each(['commands', 'channels'])(
  'a connection for %s that is half open is made anew, and answers again',
  async (kind) => {
    const target = commonRedisUrl();
    const link = await openLink(Number(new URL(target).port));
    const redis = createRedis({ url: link.urlOf(target), name: 'test', log });
    try {
      await redis.connect();
      if (kind === 'channels') await redis.ssubscribe('silence');
      else await redis.ping();
      let isMadeAnew = false;
      redis.once('ready', () => (isMadeAnew = true));
      expect(link.freeze()).toBe(1);
      await eventually(() => isMadeAnew, { says: 'it is made anew' });
      expect(await redis.ping()).toBe('PONG');
    } finally {
      redis.disconnect();
      await link.close();
    }
  },
);
