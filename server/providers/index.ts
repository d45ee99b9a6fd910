/** Encoding by somebody else than our FFmpeg. What the rest of the house imports. */
export {
  attemptById,
  carryAttempts,
  currentAttempt,
  endAttempts,
  forgetAttempts,
  openAttempt,
  OPEN_STATES,
  providerOf,
  wantedMedia,
} from './attempts.ts';
export { openRemoteEncoding, type RemoteEncoding } from './open.ts';
export { ProviderError } from './provider.ts';
export type { Courier } from './courier.ts';
export { createRegistrar } from './cloudflare/registration.ts';
export { signatureOf } from './cloudflare/webhook.ts';
export { readSubscription, storeSubscription, webhookSecrets } from './subscription.ts';
export { addCaptions } from './captions.ts';
