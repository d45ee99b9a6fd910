/** The engine as a process of its own, so that it can be killed. Settings come as JSON in the environment. */
import { startEngine, type Ground } from './harness.ts';

export interface ProcessSettings {
  database: { url: string | undefined; file: string };
  env: Record<string, string>;
  port: number;
}

const { database, env, port } = JSON.parse(process.env['ENGINE'] ?? '') as ProcessSettings;
const engine = await startEngine({ database, env } as unknown as Ground, { ownConnection: true, port });
process.on('SIGTERM', () => {
  void engine.close().then(() => process.exit(0));
});
process.stdout.write('ready\n');
