/** The frame of every page: header with navigation, main, and messages that come and go. */
import { ApiError, goToLogin, request, sentenceOf } from '../api/client.ts';
import { at } from '../api/root.ts';
import type { Me } from '../api/types.ts';
import { h, type Child } from './dom.ts';
import { icon } from './icons.ts';
import '../styles/base.css';

const LINKS = [
  { href: at('/'), label: 'Upload' },
  { href: at('/admin'), label: 'Admin' },
] as const;

/** Puts the header and an empty main into the document and returns main. */
export function openPage(me: Me | undefined, name: string): HTMLElement {
  const main = h('main', { class: `page page-${name}`, id: 'main', tabindex: -1 });
  const nav = h(
    'nav',
    { class: 'site-nav', 'aria-label': 'Pages' },
    ...LINKS.map(({ href, label }) =>
      h('a', { href, 'aria-current': href === location.pathname ? 'page' : null }, label),
    ),
  );
  const skip = h('a', { class: 'skip', href: '#main' }, 'Skip to the content');
  document.body.append(
    skip,
    h('header', { class: 'site-header' }, wordmark(), me ? nav : null, me ? account(me) : logIn(name)),
    main,
    h('div', { class: 'toasts', role: 'status', 'aria-live': 'polite' }),
  );
  return main;
}

function wordmark(): HTMLElement {
  return h(
    'a',
    { class: 'wordmark', href: at('/'), 'aria-label': 'Millrace, start page' },
    icon('wheel', 26),
    'Millrace',
  );
}

function account(me: Me): HTMLElement {
  const leave = async (): Promise<void> => {
    await request('DELETE', '/api/session');
    location.assign(at('/login'));
  };
  const onclick = (): void => void leave().catch((error: unknown) => toast(sentenceOf(error), 'bad'));
  return h(
    'div',
    { class: 'account' },
    h('span', { class: 'owner', title: `Logged in as ${me.owner}` }, me.owner),
    h('button', { class: 'button quiet', type: 'button', onclick }, 'Log out'),
  );
}

function logIn(name: string): HTMLElement {
  const next = encodeURIComponent(location.pathname + location.search);
  return h(
    'div',
    { class: 'account' },
    name !== 'login' && h('a', { class: 'button quiet', href: at(`/login?next=${next}`) }, 'Log in'),
  );
}

/** Says something for a few seconds, e.g. `Link copied.` */
export function toast(text: string, tone: 'good' | 'bad' = 'good'): void {
  const element = h('p', { class: `toast ${tone}` }, text);
  document.querySelector('.toasts')?.append(element);
  setTimeout(() => element.remove(), tone === 'bad' ? 8_000 : 3_500);
}

/** A friendly nothing: what is (not) here, and what to do next. */
export function emptyState(title: string, ...body: Child[]): HTMLElement {
  return h(
    'div',
    { class: 'empty' },
    icon('wheel', 40),
    h('p', { class: 'empty-title' }, title),
    h('p', {}, ...body),
  );
}

/** Starts a page; whatever it throws is shown instead of a blank page. A session that ended meanwhile is begun anew. */
export function start(main: () => Promise<void>): void {
  main().catch((error: unknown) => {
    if (error instanceof ApiError && error.status === 401) return goToLogin();
    console.error(error);
    const target = document.querySelector('main') ?? openPage(undefined, 'broken');
    target.replaceChildren(
      h(
        'div',
        { class: 'notice bad', role: 'alert' },
        h('p', {}, sentenceOf(error)),
        h('button', { class: 'button', type: 'button', onclick: () => location.reload() }, 'Try again'),
      ),
    );
  });
}
