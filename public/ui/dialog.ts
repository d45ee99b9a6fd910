/** Questions before things that can't be undone. */
import { h } from './dom.ts';

/** Asks with a modal dialog; true when the person said yes. Escape and Cancel say no. */
export function confirmed(title: string, text: string, yes: string): Promise<boolean> {
  return new Promise((resolve) => {
    const dialog = h(
      'dialog',
      {
        class: 'confirm',
        'aria-label': title,
        onclose: () => (dialog.remove(), resolve(dialog.returnValue === 'yes')),
      },
      h(
        'form',
        { method: 'dialog' },
        h('h2', {}, title),
        h('p', {}, text),
        h(
          'div',
          { class: 'dialog-actions' },
          h('button', { class: 'button', value: 'no', autofocus: true }, 'Cancel'),
          h('button', { class: 'button danger', value: 'yes' }, yes),
        ),
      ),
    );
    document.body.append(dialog);
    dialog.showModal();
  });
}
