// Changes the page in place: a node is touched only where what it shows has changed.

export const byId = (id) => document.getElementById(id);

export function text(node, value) {
  const shown = String(value ?? "");
  if (node.textContent !== shown) node.textContent = shown;
}

export function attr(node, name, value) {
  if (value === null || value === undefined || value === false) {
    if (node.hasAttribute(name)) node.removeAttribute(name);
  } else if (node.getAttribute(name) !== String(value)) {
    node.setAttribute(name, String(value));
  }
}

export function hidden(node, is) {
  if (node.hidden !== is) node.hidden = is;
}

/** A style that is a number; the page's policy allows styles that a script sets, and none in the markup. */
export function style(node, name, value) {
  if (node.style.getPropertyValue(name) !== value) node.style.setProperty(name, value);
}

const NAMESPACE = "http://www.w3.org/2000/svg";

export function svg(parent, name, attributes = {}) {
  const node = document.createElementNS(NAMESPACE, name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  parent.append(node);
  return node;
}

/** A copy of a template's element, with its parts by name: those with `data-part`. */
export function clone(id) {
  const node = byId(id).content.firstElementChild.cloneNode(true);
  node.parts = {};
  for (const part of [node, ...node.querySelectorAll("[data-part]")]) {
    if (part.dataset.part) node.parts[part.dataset.part] = part;
  }
  return node;
}

/**
 * Makes `parent` hold one node for each of `items`, in their order. Nodes stay for as long as their key is there, and
 * move only where the order has changed.
 */
export function keyed(parent, items, keyOf, create, update) {
  const nodes = (parent.keyedNodes ??= new Map());
  const stays = new Set(items.map(keyOf));
  const focused = document.activeElement;
  for (const [key, node] of nodes) {
    if (stays.has(key)) continue;
    node.remove();
    nodes.delete(key);
  }
  let place = parent.firstElementChild;
  for (const item of items) {
    const key = keyOf(item);
    if (!nodes.has(key)) nodes.set(key, create(item));
    const node = nodes.get(key);
    if (node === place) place = place.nextElementSibling;
    else parent.insertBefore(node, place);
    update(node, item);
  }
  // a node that was moved has lost it
  if (focused !== document.activeElement && parent.contains(focused)) focused.focus({ preventScroll: true });
}
