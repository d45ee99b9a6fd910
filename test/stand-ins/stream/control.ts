/** What tests ask of a stand-in in a process of its own. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { json } from 'node:stream/consumers';
import type { Faults } from './faults.ts';
import type { Video } from './video.ts';
import type { World } from './world.ts';

/** Everything it remembers. */
export interface Ledger {
  videos: Video[];
  violations: string[];
  calls: string[];
  deliveries: World['deliveries'];
}

/** `GET /control/ledger`; `PUT /control/faults` with some of them. */
export async function control(
  world: World,
  req: IncomingMessage,
  res: ServerResponse,
  path: string,
): Promise<void> {
  if (path === '/control/faults') Object.assign(world.faults, (await json(req)) as Partial<Faults>);
  const { videos, violations, calls, deliveries } = world;
  res.writeHead(200, { 'Content-Type': 'application/json' });
  res.end(JSON.stringify({ videos: [...videos.values()], violations, calls, deliveries } satisfies Ledger));
}
