/** Logs and metrics: made once at boot and handed down, never imported as a singleton. */
import { pino, type DestinationStream, type Logger } from 'pino';
import { Registry, collectDefaultMetrics } from 'prom-client';

export type { Logger } from 'pino';

export interface Telemetry {
  /** Root logger; take a child with `logger.child({name})`. */
  logger: Logger;
  registry: Registry;
  /** What `/metrics` answers when several processes share a port; absent: the registry's own. */
  metrics?: () => Promise<string>;
}

export interface TelemetryOptions {
  level: string;
  /** `pretty` for people, `json` for log collectors. */
  format: 'pretty' | 'json';
}

/** The event loop's lag is measured by a timer: at the usual 10 ms it would wake an idle process a hundred times a second. */
const LAG_EVERY_MS = 100;

/** Never logs credentials: keys in query strings and Authorization headers are redacted here. */
export function createTelemetry(options: TelemetryOptions, destination?: DestinationStream): Telemetry {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry, eventLoopMonitoringPrecision: LAG_EVERY_MS });
  const base = {
    level: options.level,
    base: undefined,
    redact: ['req.headers.authorization', 'req.headers.cookie', 'headers.authorization', 'headers.cookie'],
  };
  if (destination) return { logger: pino(base, destination), registry };
  const logger =
    options.format === 'pretty'
      ? pino({
          ...base,
          transport: {
            target: 'pino-pretty',
            options: { ignore: 'pid,hostname', translateTime: 'HH:MM:ss', singleLine: true },
          },
        })
      : pino(base);
  return { logger, registry };
}
