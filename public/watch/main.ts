/** The watch page of one media. */
import { goToLogin, request, whoAmI, withQuery } from '../api/client.ts';
import { openFeed } from '../api/feed.ts';
import { createRefresher } from '../api/refresher.ts';
import { at } from '../api/root.ts';
import type { Job, Me, Media, MediaStatus, Page } from '../api/types.ts';
import { fill, h } from '../ui/dom.ts';
import { ago, dateTime, duration } from '../ui/format.ts';
import { emptyState, openPage, start } from '../ui/page.ts';
import { details } from './details.ts';
import { besideNote, downloads, titleOf, tools } from './owner-tools.ts';
import type { Player } from './player.ts';
import { readWatched, type Watched } from './read.ts';
import { stage } from './stage.ts';
import '../styles/watch.css';

const VIEWER_POLL_MS = 5_000;
const OVER: readonly MediaStatus[] = ['failed', 'cancelled'];
const mediaId = decodeURIComponent(location.pathname.replace(/\/+$/, '').split('/').at(-1) ?? '');

start(async () => {
  const me = await whoAmI();
  const main = openPage(me, 'watch');
  const watched = await readWatched(mediaId, me);
  if (watched === 'log in') return goToLogin();
  if (!watched) return showNothing(main, me);
  await show(main, watched, me);
});

function showNothing(main: HTMLElement, me: Me | undefined): void {
  document.title = 'Not found · Millrace';
  const login = h('a', { href: at(`/login?next=${encodeURIComponent(location.pathname)}`) }, 'Log in');
  fill(
    main,
    me
      ? emptyState(
          'There is nothing here',
          'It was deleted, it is not yours, or the link is not complete. ',
          h('a', { href: at('/') }, 'Your media'),
        )
      : emptyState(
          'There is nothing here',
          'It was deleted, it is private, or the link is not complete. ',
          login,
          ' if it is yours.',
        ),
  );
}

async function show(main: HTMLElement, { media: first, own }: Watched, me: Me | undefined): Promise<void> {
  const mayChange = own && me !== undefined && me.scopes.some((scope) => scope !== 'read');
  const screen = h('div', { class: 'screen' });
  const meta = h('p', { class: 'muted media-meta' });
  const files = h('span', { class: 'downloads' });
  const more = h('div', {});
  let player: Player | undefined;
  document.title = `${first.title} · Millrace`;
  main.append(screen, titleOf(first, mayChange), meta, tools(first, mayChange, files), more);

  function showDetails(media: Media): void {
    const before = more.querySelector('details');
    const now = details(media);
    now.open = before?.open ?? false;
    fill(more, besideNote(media), now);
  }

  async function update(media: Media, startNow: boolean): Promise<void> {
    const source = media.source;
    fill(
      meta,
      h('span', { title: dateTime(media.createdAt) }, ago(media.createdAt)),
      source ? ` · ${duration(source.duration)}` : null,
    );
    if (own) showDetails(media);
    fill(files, ...downloads(media));
    if (media.playback) player?.enrich(media.playback);
    // What is withdrawn may come back, and the player waits for it; this does not.
    if (player && !media.playback && OVER.includes(media.status)) {
      player.stop();
      player = undefined;
    }
    if (player) return;
    if (media.playback) {
      const { createPlayer } = await import('./player.ts');
      player = createPlayer(media, {
        broken: (sentence) => tell(screen, sentence, 'bad'),
        waiting: (sentence) => tell(screen, sentence),
      });
      fill(screen, player.element);
      // Browsers may refuse to start with sound; the play button is there.
      if (startNow) await player.video.play().catch(() => undefined);
    } else {
      fill(screen, stage(media, own ? await jobsOf(media) : [], mayChange));
    }
  }

  await update(first, false);
  if (first.status === 'ready') return;
  const refresher = createRefresher(async () => {
    const now = await readWatched(mediaId, me);
    if (now && now !== 'log in') return update(now.media, document.visibilityState === 'visible');
    stopFollowing();
    player?.stop();
    showNothing(main, me);
  });
  const stopFollowing = follow(own, () => refresher.ask(first.id));
  refresher.ask(first.id);
}

/** Calls `onChange` when something may have changed. Only owners have the feed; others ask now and then. */
function follow(own: boolean, onChange: () => void): () => void {
  if (own) return openFeed(`/api/media/${mediaId}/events`, { onEvent: onChange, onGap: onChange });
  const timer = setInterval(onChange, VIEWER_POLL_MS);
  return () => clearInterval(timer);
}

async function jobsOf(media: Media): Promise<Job[]> {
  return (await request<Page<Job>>('GET', withQuery('/api/jobs', { media: media.id }))).items;
}

/** A sentence over the picture, in place of the last one. */
function tell(screen: HTMLElement, sentence: string | undefined, tone: 'bad' | '' = ''): void {
  const shown = screen.querySelector('.told');
  if (shown?.textContent === (sentence ?? '')) return;
  shown?.remove();
  if (sentence)
    screen.append(h('p', { class: `notice told ${tone}`, role: tone ? 'alert' : 'status' }, sentence));
}
