/** `npm run stream -- webhook …` against an account that may be somebody else's. */
import { loadConfig } from '../../server/config.ts';
import { webhookSecrets } from '../../server/providers/index.ts';
import { streamCommand } from '../../server/stream-command.ts';
import { openStreamApp, WEBHOOK_SECRET, type StreamApp } from './harness.ts';

describe('npm run stream', () => {
  let app: StreamApp;
  beforeEach(async () => void (app = await openStreamApp('sqlite', { started: false })));
  afterEach(() => app.close());

  async function run(...words: string[]): Promise<string> {
    const printed: string[] = [];
    const { config, db } = app.ctx;
    const command = { config, db, print: (line: string) => void printed.push(line) };
    await streamCommand(
      command,
      words.filter((word) => !word.startsWith('--')),
      {
        takeOver: words.includes('--take-over'),
      },
    );
    return printed.join('\n');
  }
  const puts = () => app.standIn.world.calls.filter((call) => call.startsWith('PUT')).length;
  const secrets = () => webhookSecrets(app.ctx.db, []);

  it('registers when nothing is there, and only once', async () => {
    app.standIn.world.webhook = undefined;
    expect(await run('webhook', 'show')).toMatch(/none/);
    await expect(run('webhook', 'verify')).rejects.toThrow('register');
    expect(await run('webhook', 'register')).toMatch(/Registered/);
    expect(app.standIn.world.webhook).toMatchObject({ url: `${app.url}/webhooks/cloudflare` });
    expect(await secrets()).toEqual([app.standIn.world.webhook!.secret]);
    expect(await run('webhook', 'register')).toMatch(/already/);
    expect(puts()).toBe(1);
    expect(await run('webhook', 'verify')).toMatch(/can be reached/);
  });

  it('takes the webhook of another application only when told to', async () => {
    app.standIn.world.webhook = { url: 'https://shop.example.com/hook', secret: 'theirs' };
    await expect(run('webhook', 'register')).rejects.toThrow('shop.example.com');
    expect(puts()).toBe(0);
    await run('webhook', 'register', '--take-over');
    expect(app.standIn.world.webhook.url).toBe(`${app.url}/webhooks/cloudflare`);
  });

  it('keeps the secret before a new one', async () => {
    app.standIn.world.webhook = undefined;
    await run('webhook', 'register');
    const [first] = await secrets();
    app.standIn.world.webhook = { url: 'https://shop.example.com/hook', secret: 'theirs' };
    await run('webhook', 'register', '--take-over');
    expect(await secrets()).toEqual([app.standIn.world.webhook.secret, first]);
  });

  it('learns the secret of a webhook that is ours already', async () => {
    expect(await run('webhook', 'register')).toMatch(/already/);
    expect(await secrets()).toEqual([WEBHOOK_SECRET]);
    expect(puts()).toBe(0);
  });

  it('says what is not right', async () => {
    app.standIn.world.webhook!.secret = 'changed by somebody';
    await expect(run('webhook', 'verify')).rejects.toThrow('secret that is not known');
    await expect(run('nonsense')).rejects.toThrow('usage');
    const off = { ...app.ctx, config: loadConfig({}), print: () => undefined };
    await expect(streamCommand(off, ['webhook', 'show'], { takeOver: false })).rejects.toThrow('ENCODER');
  });
});
