// Elements of the page.  Texts are set as text, never as markup.

export const one = (selector, within = document) => within.querySelector(selector);
export const all = (selector, within = document) => [...within.querySelectorAll(selector)];

export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined) element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

// A value from the unit, as against a word of ours: tests count words without these.
export const data = (tag, text, attributes = {}) => make(tag, { "data-value": "", ...attributes }, String(text));

// Changes nothing where nothing has changed, so that a screen reader and the picture cache are left alone.
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

export function setAttribute(element, name, value) {
  if (element.getAttribute(name) !== value) element.setAttribute(name, value);
}

export function show(element, visible) {
  if (element.hidden === visible) element.hidden = !visible;
}

// Shows a picture; while there is none, its caption.
export function setPicture(image, address) {
  if (image.getAttribute("src") === address) return;
  const figure = image.parentElement;
  const missing = (is) => figure.tagName === "FIGURE" && figure.classList.toggle("none", is);
  image.onerror = () => missing(true);
  image.onload = () => missing(false);
  if (address) image.src = address;
  else {
    image.removeAttribute("src");
    missing(true);
  }
}

// The list's elements by key: kept, moved, made or removed, so that pictures are not loaded again.
export function setList(list, items, keyOf, build, update) {
  const there = new Map([...list.children].map((child) => [child.dataset.key, child]));
  items.forEach((item, place) => {
    const key = keyOf(item);
    let child = there.get(key);
    there.delete(key);
    if (!child) {
      child = build(item);
      child.dataset.key = key;
    }
    if (list.children[place] !== child) list.insertBefore(child, list.children[place] ?? null);
    update(child, item);
  });
  for (const child of there.values()) child.remove();
}
