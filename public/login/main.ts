/** The login page: a key becomes a session cookie. */
import { ApiError, request, sentenceOf, whoAmI } from '../api/client.ts';
import { at } from '../api/root.ts';
import { h } from '../ui/dom.ts';
import { icon } from '../ui/icons.ts';
import { openPage, start } from '../ui/page.ts';
import { safeNext } from './next.ts';
import '../styles/login.css';

start(async () => {
  const query = new URLSearchParams(location.search);
  const next = safeNext(query.get('next'), location.origin, at('/'));
  if (await whoAmI()) return location.replace(next);
  const main = openPage(undefined, 'login');
  const input = h('input', {
    id: 'key',
    name: 'key',
    type: 'password',
    required: true,
    autofocus: true,
    autocomplete: 'current-password',
    spellcheck: 'false',
    'aria-describedby': 'key-error',
  });
  const byLink =
    query.get('error') === 'invalid_key' && 'The key in that link is not known here, or it was revoked.';
  const error = h('p', { id: 'key-error', class: 'row-error', role: 'alert' }, byLink);
  const button = h('button', { class: 'button primary', type: 'submit' }, 'Log in');
  async function logIn(): Promise<void> {
    button.disabled = true;
    error.textContent = '';
    try {
      await request('POST', '/api/session', { key: input.value.trim() });
      location.replace(next);
    } catch (thrown) {
      const wrong = thrown instanceof ApiError && thrown.status === 401;
      error.textContent = wrong ? 'This key is not known here, or it was revoked.' : sentenceOf(thrown);
      input.setAttribute('aria-invalid', 'true');
      input.select();
    } finally {
      button.disabled = false;
    }
  }
  main.append(
    h(
      'form',
      {
        class: 'card login',
        onsubmit: (event) => {
          event.preventDefault();
          void logIn();
        },
      },
      icon('wheel', 40),
      h('h1', {}, 'Log in to Millrace'),
      h('label', { for: 'key' }, 'Key'),
      input,
      error,
      button,
      h(
        'p',
        { class: 'muted' },
        'Millrace prints a link with the first admin key when it starts; its part after ',
        h('code', {}, 'key='),
        ' is the key. Otherwise an admin makes one for you under Admin, API keys.',
      ),
    ),
  );
  input.focus();
});
