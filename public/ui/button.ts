import { sentenceOf } from '../api/client.ts';
import { h } from './dom.ts';
import { icon, type IconName } from './icons.ts';
import { toast } from './page.ts';

export interface Action {
  label: string;
  icon?: IconName;
  kind?: 'primary' | 'danger' | 'quiet';
  /** Disabled while it runs; what it throws is shown as a message. */
  run(): Promise<void> | void;
}

/** A button for an action. */
export function actionButton(action: Action): HTMLButtonElement {
  const button = h(
    'button',
    {
      class: `button ${action.kind ?? ''}`,
      type: 'button',
      onclick: () => {
        button.disabled = true;
        Promise.resolve(action.run())
          .catch((error: unknown) => toast(sentenceOf(error), 'bad'))
          .finally(() => (button.disabled = false));
      },
    },
    action.icon ? icon(action.icon, 16) : null,
    action.label,
  );
  return button;
}
