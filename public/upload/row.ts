/** One row of the list: its element, kept up to date. */
import { at } from '../api/root.ts';
import { actionButton, type Action } from '../ui/button.ts';
import { fill, h } from '../ui/dom.ts';
import { icon } from '../ui/icons.ts';
import { picture } from '../ui/picture.ts';
import { badge } from '../ui/status.ts';
import { viewOf, type ActionName, type RowState, type RowView } from './view.ts';

export interface Row {
  element: HTMLElement;
  update(state: RowState): void;
}

const ACTIONS: Record<ActionName, Omit<Action, 'run'>> = {
  pause: { label: 'Pause', icon: 'pause' },
  resume: { label: 'Resume', icon: 'play' },
  'send-again': { label: 'Try again', icon: 'retry' },
  'cancel-upload': { label: 'Cancel', icon: 'close', kind: 'quiet' },
  cancel: { label: 'Cancel', icon: 'close', kind: 'quiet' },
  retry: { label: 'Try again', icon: 'retry' },
  delete: { label: 'Delete', icon: 'trash', kind: 'quiet' },
};

/** `run` does what a button of the row says. */
export function createRow(run: (action: ActionName) => Promise<void> | void): Row {
  const title = h('p', { class: 'row-title', dir: 'auto' });
  const status = h('p', { class: 'row-status' });
  const bar = h('progress', { class: 'bar', max: 100 });
  const steps = h('ol', { class: 'steps', 'aria-label': 'Steps' });
  const error = h('p', { class: 'row-error' });
  const buttons = h('div', { class: 'row-actions' });
  const thumbnail = h('div', { class: 'thumbnail' });
  const body = h('div', { class: 'row-body' }, title, status, bar, steps, error);
  const element = h('li', { class: 'row' }, thumbnail, body, buttons);
  let shownActions = '';

  return {
    element,
    update(state) {
      const view = viewOf(state);
      element.dataset.status = state.media?.status ?? 'uploading';
      if (state.media) element.dataset.media = state.media.id;
      const link = view.watch && state.media ? at(`/watch/${state.media.id}`) : undefined;
      fill(thumbnail, picture(thumbnail, state.media));
      if (title.textContent !== view.title || (link && !title.querySelector('a')))
        fill(title, link ? h('a', { href: link }, view.title) : view.title);
      title.title = view.title;
      fill(
        status,
        badge(view.label, view.tone),
        view.detail && h('span', { class: 'row-detail' }, view.detail),
      );
      showBar(bar, view);
      fill(steps, ...view.steps.map((s) => h('li', { class: s.tone }, s.done && icon('check', 13), s.label)));
      steps.hidden = view.steps.length === 0;
      error.hidden = !view.error;
      error.textContent = view.error ?? '';
      // Buttons are made again only when they change, so that focus stays where it is.
      const actions = [link ?? '', ...view.actions].join();
      if (actions === shownActions) return;
      shownActions = actions;
      fill(
        buttons,
        link && h('a', { class: 'button primary', href: link }, icon('play', 16), 'Watch'),
        ...view.actions.map((name) => actionButton({ ...ACTIONS[name], run: () => run(name) })),
      );
    },
  };
}

function showBar(bar: HTMLProgressElement, view: RowView): void {
  bar.hidden = view.bar === null;
  bar.setAttribute('aria-label', `${view.label}: ${view.title}`);
  if (typeof view.bar === 'number') bar.value = view.bar;
  else bar.removeAttribute('value');
}
