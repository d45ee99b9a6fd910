/** `npm run stream -- webhook …`: shows, sets and tries Cloudflare's webhook subscription. */
import type { Db } from '../db/dialect.ts';
import { ConfigError, type Config } from './config.ts';
import { messageOf } from './errors.ts';
import {
  createRegistrar,
  readSubscription,
  signatureOf,
  storeSubscription,
  webhookSecrets,
} from './providers/index.ts';
import type { StreamConfig } from './stream-config.ts';

export const STREAM_USAGE = `npm run stream -- webhook show
npm run stream -- webhook register [--take-over]
npm run stream -- webhook verify`;

export interface StreamCommand {
  config: Config;
  db: Db;
  print(line: string): void;
}

/** Runs one command. Throws with a sentence when it can't or the subscription is not right. */
export async function streamCommand(
  { config, db, print }: StreamCommand,
  [topic, verb]: string[],
  options: { takeOver: boolean },
): Promise<void> {
  const { stream, publicUrl } = config;
  if (!stream)
    throw new ConfigError(['ENCODER is ffmpeg and ENCODER_CHOICE allows nothing else: Stream is off']);
  if (!publicUrl) throw new ConfigError(['PUBLIC_URL is missing: webhooks could not reach this server']);
  const own = `${publicUrl}/webhooks/cloudflare`;
  if (topic !== 'webhook') throw new Error(`usage:\n${STREAM_USAGE}`);
  if (verb === 'show') return show(stream, db, own, print);
  if (verb === 'register') return register(stream, db, own, print, options.takeOver);
  if (verb === 'verify') return verify(stream, db, own, print);
  throw new Error(`usage:\n${STREAM_USAGE}`);
}

type Print = (line: string) => void;

async function show(stream: StreamConfig, db: Db, own: string, print: Print): Promise<void> {
  const there = await createRegistrar(stream).get();
  const secrets = await webhookSecrets(db, stream.webhookSecrets);
  print(`This server's address:  ${own}`);
  print(`Cloudflare's webhook:   ${there?.url ?? 'none'}${there?.url === own ? ' (this server)' : ''}`);
  print(`Secrets known here:     ${secrets.length}`);
  if (there?.secret !== undefined)
    print(`Cloudflare's secret:    ${secrets.includes(there.secret) ? 'is one of them' : 'is none of them'}`);
}

/** Sets the address only when it is another: setting it changes the secret, which others may be using. */
async function register(
  stream: StreamConfig,
  db: Db,
  own: string,
  print: Print,
  takeOver: boolean,
): Promise<void> {
  const registrar = createRegistrar(stream);
  const there = await registrar.get();
  if (there && there.url !== own && !takeOver)
    throw new Error(
      `The account's one webhook belongs to ${there.url}. It would stop getting any: --take-over if that is meant.`,
    );
  const secrets = await webhookSecrets(db, stream.webhookSecrets);
  if (there?.url === own && there.secret !== undefined) {
    await storeSubscription(db, { url: own, secret: there.secret });
    return print(`${own} is registered already; its secret is kept in the database.`);
  }
  if (there?.url === own && secrets.length) return print(`${own} is registered already.`);
  const { secret } = await registrar.set(own);
  await storeSubscription(db, { url: own, secret });
  print(`Registered ${own}; its secret is kept in the database, and the one before is accepted too.`);
}

/** Is it ours, is its secret known, and does the public address lead to a server that checks signatures? */
async function verify(stream: StreamConfig, db: Db, own: string, print: Print): Promise<void> {
  const there = await createRegistrar(stream).get();
  if (there?.url !== own)
    throw new Error(`Cloudflare's webhook is ${there?.url ?? 'not set'}, not ${own}: register it.`);
  const secrets = await webhookSecrets(db, stream.webhookSecrets);
  if (there.secret !== undefined && !secrets.includes(there.secret))
    throw new Error('Cloudflare signs with a secret that is not known here: register it again.');
  const secret = there.secret ?? secrets[0];
  if (secret === undefined)
    throw new Error('No secret is known here: set STREAM_WEBHOOK_SECRET or register.');
  await expectAnswer(own, secret, 204, 'a signed webhook');
  await expectAnswer(own, 'not the secret', 401, 'a forged webhook');
  print(`${own} is registered, can be reached, takes what is signed and refuses what is not.`);
  const stored = await readSubscription(db);
  if (stored && stored.url !== own) print(`(The database still names ${stored.url}: register to renew it.)`);
}

/** A webhook about a video that nobody has: a server takes it and does nothing. */
async function expectAnswer(url: string, secret: string, status: number, what: string): Promise<void> {
  const time = String(Math.floor(Date.now() / 1000));
  const body = JSON.stringify({ uid: 'millrace-verify', status: { state: 'queued' } });
  const answer = await fetch(url, {
    method: 'POST',
    headers: {
      'Content-Type': 'application/json',
      'Webhook-Signature': `time=${time},sig1=${signatureOf(secret, time, body)}`,
    },
    body,
    redirect: 'manual',
    signal: AbortSignal.timeout(15_000),
  }).catch((error: unknown) => {
    throw new Error(`${url} can not be reached from here: ${messageOf(error)}`);
  });
  if (answer.status !== status)
    throw new Error(
      `${url} answered ${answer.status} to ${what}, where ${status} is right. Is the server running?`,
    );
}
