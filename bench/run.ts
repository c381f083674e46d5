import { cpus } from 'node:os';
import { parseBenchArguments, USAGE, type BenchArguments } from './arguments.ts';
import { startCluster, withClient } from './cluster.ts';
import { loadData, volumeOf } from './data/load.ts';
import { drive, type Phase } from './drive.ts';
import { benchKommo } from './kommo.ts';
import { formatReport } from './report.ts';
import { startBenchStack } from './stack.ts';
import { createTraffic } from './traffic.ts';
import { benchWhatsapp } from './whatsapp.ts';
import { readWorld } from './world.ts';

const say = (line: string): void => void process.stdout.write(`${line}\n`);

/** Nothing is asserted: figures belong to the machine and to what else it does. */
const WARM_UP_SECONDS = 5;

const options = parseBenchArguments(process.argv.slice(2));
if (!options) {
  process.stderr.write(USAGE);
  process.exit(2);
}
if (options.what === 'kommo') await benchKommo({ ...options, say });
else if (options.what === 'whatsapp') await benchWhatsapp({ ...options, say });
else await run(options);

async function run({
  seed,
  scale,
  seconds,
  only,
  readers,
  pauseMs,
}: BenchArguments): Promise<void> {
  const volume = volumeOf(scale);
  const cluster = await startCluster({
    key: `seed ${seed}, scale ${scale}`,
    load: (db) => loadData(db, { seed, volume, say }),
    say,
  });
  try {
    const world = await withClient(cluster.database.url, readWorld);
    const stack = await startBenchStack(cluster);
    try {
      const traffic = createTraffic(await stack.login(world), { seed, only });
      const sizes = world.map(({ leadCount }) => leadCount);
      say(
        `${volume.contacts} contacts, ${volume.leads} leads, ${volume.messages} messages; ` +
          `leads per account from ${Math.min(...sizes)} to ${Math.max(...sizes)}`,
      );
      say(`${readers} readers, ${seconds} s a phase, ${cpus().length} cores; milliseconds\n`);
      const phase = { origin: stack.api.url, traffic, readers, seconds };
      await drive({ ...phase, seconds: WARM_UP_SECONDS, pauseMs: 0, isBypassed: false });
      // Closed loops on the cores that also serve them measure throughput; the paced phase is the one about latency.
      await compare(`each reader asks every ${pauseMs} ms`, { ...phase, pauseMs });
      await compare('each reader asks again at once', { ...phase, pauseMs: 0 });
    } finally {
      await stack.stop();
    }
  } finally {
    await cluster.stop();
  }
}

async function compare(title: string, phase: Omit<Phase, 'isBypassed'>): Promise<void> {
  const cached = await drive({ ...phase, isBypassed: false });
  const bypassed = await drive({ ...phase, isBypassed: true });
  say(formatReport(title, { cached, bypassed }, phase.seconds));
}
