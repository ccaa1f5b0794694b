/* Elements made of data: text is set as text, so nothing that is shown can become markup. */

const SVG = "http://www.w3.org/2000/svg";

/** An element; `on` holds listeners, other attributes are set where they are not null. */
export function el(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

/** The same in SVG. */
export function svg(tag, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "on") {
      for (const [event, listener] of Object.entries(value)) node.addEventListener(event, listener);
    } else if (name.startsWith("aria-") && value !== null && value !== undefined) {
      node.setAttribute(name, String(value)); // "false" says something there
    } else if (value === true) {
      node.setAttribute(name, "");
    } else if (value !== null && value !== undefined && value !== false) {
      node.setAttribute(name, String(value));
    }
  }
  node.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined));
  return node;
}

export const byId = (id) => document.getElementById(id);

/** Terms and what they are, without those that are not known. */
export function list(facts) {
  const known = facts.filter(([, value]) => value !== null && value !== undefined && value !== "");
  return el("dl", {}, known.map(([term, value]) => [el("dt", {}, term), el("dd", {}, value)]));
}

export function chip(text, kind = "") {
  return el("span", { class: `chip ${kind}` }, text);
}

/** Put new children in place of the old ones; the focus stays, and text being copied is left alone. */
export function replace(node, ...children) {
  const marked = getSelection();
  if (!marked.isCollapsed && node.contains(marked.anchorNode)) return;
  const focused = node.contains(document.activeElement) ? document.activeElement.id : "";
  node.replaceChildren(...children.flat(Infinity));
  if (focused) byId(focused)?.focus({ preventScroll: true });
}
