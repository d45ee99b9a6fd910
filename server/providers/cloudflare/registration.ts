/** The account's one webhook subscription at Cloudflare. Its secret changes each time the address is set. */
import type { StreamConfig } from '../../stream-config.ts';
import { ProviderError } from '../provider.ts';
import { createApi } from './api.ts';

export interface Registration {
  url: string;
  /** Cloudflare may keep it to itself. */
  secret: string | undefined;
}

export interface Registrar {
  /** Undefined when no address is set. */
  get(): Promise<Registration | undefined>;
  /** Sets the address, whatever was there, and brings a new secret. */
  set(url: string): Promise<Registration & { secret: string }>;
}

export function createRegistrar(settings: StreamConfig): Registrar {
  const api = createApi(settings);
  return {
    async get() {
      try {
        return read(await api.call('GET', '/webhook'));
      } catch (error) {
        if (error instanceof ProviderError && error.trouble === 'missing') return undefined;
        throw error;
      }
    },
    async set(url) {
      const { secret } = read(await api.call('PUT', '/webhook', { body: { notificationUrl: url } })) ?? {};
      if (secret === undefined)
        throw new ProviderError('unclear', 'Cloudflare set the webhook without a secret.');
      return { url, secret };
    },
  };
}

function read(result: unknown): Registration | undefined {
  const { notificationUrl, notification_url, secret } = (result ?? {}) as Record<string, unknown>;
  const url = [notificationUrl, notification_url].find((value) => typeof value === 'string' && value !== '');
  return typeof url === 'string'
    ? { url, secret: typeof secret === 'string' ? secret : undefined }
    : undefined;
}
