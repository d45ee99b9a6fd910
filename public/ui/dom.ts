/** Makes elements. Text is always a text node: nothing here parses HTML. */

export type Child = Node | string | number | false | null | undefined;
type Prop = string | number | boolean | null | undefined | ((event: Event) => void);

/**
 * `h('a', {class: 'x', href, onclick: fn}, 'text')`. True sets an empty attribute; false, null and
 * undefined set none; functions listen to the event after `on`.
 */
export function h<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  props: Record<string, Prop> = {},
  ...children: Child[]
): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (typeof value === 'function') element.addEventListener(name.replace(/^on/, ''), value);
    else if (value !== false && value !== null && value !== undefined)
      element.setAttribute(name, value === true ? '' : String(value));
  }
  element.append(...shown(children));
  return element;
}

/** Replaces what is inside, and only if it differs in number or identity, so that focus survives. */
export function fill(element: Element, ...children: Child[]): void {
  const next = shown(children);
  const now = [...element.childNodes];
  const same =
    now.length === next.length &&
    next.every((child, i) =>
      typeof child === 'string'
        ? now[i]?.nodeType === Node.TEXT_NODE && now[i].textContent === child
        : now[i] === child,
    );
  if (!same) element.replaceChildren(...next);
}

function shown(children: Child[]): (Node | string)[] {
  return children
    .filter((c): c is Node | string | number => c !== false && c !== null && c !== undefined && c !== '')
    .map((c) => (typeof c === 'number' ? String(c) : c));
}
