/** The process: reads the configuration, starts the parts its role names, and takes them down again in order. */
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { clusterMetrics, isOneOfSeveral, runCluster } from './cluster.ts';
import { createContext, disposeContext } from './context.ts';
import { ConfigError, loadConfig, type Config } from './config.ts';
import { messageOf } from './errors.ts';
import { startMillrace } from './start.ts';
import { createTelemetry, type Telemetry } from './telemetry.ts';

async function main(): Promise<void> {
  if (existsSync('.env')) process.loadEnvFile('.env');
  const config = loadConfig();
  const telemetry = createTelemetry(config.log);
  if (isOneOfSeveral()) telemetry.metrics = clusterMetrics(telemetry.registry);
  else if (config.concurrency > 1)
    process.exit(await runCluster(config, telemetry.logger, fileURLToPath(import.meta.url)));
  const context = await createContext(config, telemetry);
  const starting = startMillrace(context);
  // From now on, so that a signal right after the greeting, or even before it, drains as well.
  stopOnSignals(config, telemetry, async () => {
    await (await starting).stop();
    await disposeContext(context);
  });
  await starting.catch(async (error: unknown) => {
    await disposeContext(context);
    throw error;
  });
}

/** The first SIGINT or SIGTERM drains and exits 0; a second one, or a drain that takes too long, exits 1. */
function stopOnSignals(config: Config, { logger }: Telemetry, stop: () => Promise<void>): void {
  let since: number | undefined;
  const onSignal = (signal: NodeJS.Signals): void => {
    if (since !== undefined) {
      // A terminal's Ctrl-C may reach us twice: from the terminal and passed on by npm.
      if (performance.now() - since > 1_000) process.exit(1);
      return;
    }
    since = performance.now();
    logger.info(`${signal}: finishing what is running; once more to stop at once`);
    const late = setTimeout(() => {
      logger.error('gave up waiting for the drain (SHUTDOWN_GRACE)');
      process.exit(1);
    }, config.shutdownGraceMs);
    late.unref();
    stop().then(
      () => {
        logger.info('stopped');
        process.exit(0);
      },
      (error: unknown) => {
        logger.error({ err: error }, 'could not stop cleanly');
        process.exit(1);
      },
    );
  };
  process.on('SIGINT', onSignal);
  process.on('SIGTERM', onSignal);
}

main().catch((error: unknown) => {
  process.stderr.write(`Millrace could not start: ${messageOf(error)}\n`);
  if (!(error instanceof ConfigError) && process.env.LOG_LEVEL === 'debug') console.error(error);
  process.exit(1);
});
