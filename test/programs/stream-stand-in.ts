/** The stand-in for Cloudflare Stream in a process of its own: `stream-stand-in.ts OPTIONS` (JSON); prints its URL. */
import { startStandIn } from '../stand-ins/stream/server.ts';
import type { WorldOptions } from '../stand-ins/stream/world.ts';

const standIn = await startStandIn(JSON.parse(process.argv[2] ?? '{}') as WorldOptions);
process.stdout.write(`${standIn.url}\n`);
process.once('SIGTERM', () => void standIn.close().then(() => process.exit(0)));
