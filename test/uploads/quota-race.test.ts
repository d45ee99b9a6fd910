/** Creations that race for the last bytes of a quota: one wins, on both databases and from two servers. */
import { DIALECTS } from '../databases.ts';
import { openGround, startEngine, tus } from './harness.ts';

it.each(DIALECTS)('of creations that race for the last bytes one gets them, on %s', async (dialect) => {
  const ground = await openGround(dialect);
  const env = { QUOTA_PER_OWNER: '1000' };
  const options = { env, ownConnection: dialect === 'postgres' };
  const servers = [await startEngine(ground, options), await startEngine(ground, options)];
  try {
    const create = (turn: number, headers: Record<string, string> = {}) =>
      tus('POST', servers[turn % 2]?.url ?? '', { 'Upload-Length': '600', ...headers });
    const answers = await Promise.all([0, 1, 2, 3, 4, 5].map((turn) => create(turn)));
    const taken = answers.filter(({ status }) => status === 201);
    expect(taken).toHaveLength(1);
    const refused = answers.filter(({ status }) => status !== 201);
    expect(refused.map(({ status, code }) => [status, code])).toEqual(
      refused.map(() => [413, 'quota_exceeded']),
    );
    expect((await create(0, { Authorization: 'Bearer bob' })).status).toBe(201);
    await tus('DELETE', taken[0]?.headers.get('location') ?? '');
    expect((await create(1)).status).toBe(201);
  } finally {
    for (const server of servers) await server.close();
    await ground.close();
  }
});
