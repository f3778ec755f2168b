// Making and changing elements. Text comes in as text nodes alone, so nothing that anybody wrote is ever
// read as markup.

type Child = Node | string;

/** An element with attributes and children. */
export function el<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  attributes: Record<string, string> = {},
  ...children: Child[]
): HTMLElementTagNameMap[K] {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

/** The element of the page with an ID. */
export function the<T extends HTMLElement = HTMLElement>(id: string): T {
  const found = document.getElementById(id);
  if (!found) throw new Error(`the page has no #${id}`);
  return found as T;
}

/** Sets a text, and leaves the page alone if it is there already: screen readers tell what changes. */
export function say(where: Element, text: string): void {
  if (where.textContent !== text) where.textContent = text;
}

/** Shows or hides. */
export function show(element: HTMLElement, isShown: boolean): void {
  if (element.hidden === isShown) element.hidden = !isShown;
}

/** Makes the children of a list those of its items, in their order; a child stays the same element for as
 * long as its key is there, so that focus and selection stay. */
export function keep<T, E extends HTMLElement>(
  list: Element,
  items: readonly T[],
  key: (item: T) => string,
  make: (item: T) => E,
  update: (element: E, item: T) => void,
): void {
  const old = new Map<string, E>();
  for (const child of Array.from(list.children) as E[]) old.set(child.dataset["key"] ?? "", child);
  items.forEach((item, at) => {
    const name = key(item);
    let child = old.get(name);
    if (!child) {
      child = make(item);
      child.dataset["key"] = name;
    }
    old.delete(name);
    update(child, item);
    if (list.children[at] !== child) list.insertBefore(child, list.children[at] ?? null);
  });
  for (const gone of old.values()) gone.remove();
}
