/* A scatter of architectures with the front of what is shown; pointer and keys reach every dot. */

import { frontOf, unitOf } from "./axes.js";
import { svg } from "./dom.js";
import { hideTip, showTip } from "./shell.js";

const EDGE = { left: 62, right: 18, top: 14, bottom: 46 };
const REACH = 26; // pixels within which the pointer finds a dot
const SHAPES = {
  dot: "M-3.2 0a3.2 3.2 0 1 0 6.4 0a3.2 3.2 0 1 0-6.4 0Z",
  pick: "M0-7 7 0 0 7-7 0Z",
  baseline: "M0-9.5 2.6-3.4 9.2-2.9 4.2 1.5 5.8 8 0 4.4-5.8 8-4.2 1.5-9.2-2.9-2.6-3.4Z",
};

export const symbol = (shape, name) => svg("path", { d: SHAPES[shape], class: `dot ${name}` });

/** Round steps between two amounts, about `n` of them. */
function ticks(low, high, n) {
  const rough = (high - low || Math.abs(high) || 1) / n;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].find((factor) => factor * power >= rough) * power;
  const found = [];
  for (let i = Math.ceil(low / step - 1e-9); i * step <= high + 1e-9 * step; i++) found.push(i * step);
  return found;
}

function scale(values, axis, from, to, n) {
  let [low, high] = [Math.min(...values), Math.max(...values)];
  const margin = (high - low || Math.abs(high) || 1) * 0.07;
  [low, high] = [low - margin, high + margin];
  const [unit, factor] = unitOf(axis, Math.max(...values.map(Math.abs)));
  const place = (value) => from + ((value - low) / (high - low)) * (to - from);
  const marks = ticks(low / factor, high / factor, n).map((tick) => [place(tick * factor), String(Number(tick.toPrecision(9)))]);
  return { place, marks, label: unit ? `${axis.label} in ${unit}` : axis.label };
}

/**
 * Draw `dots` ({point, x, y, shape, style}) into `host`.
 *
 * `none` is said where there are no dots, `tell(dot)` is what the tip shows, `pick(dot)` what a click does, `chosen` the points by letter.
 */
export function drawPlot(host, { dots, xAxis, yAxis, chosen, tell, pick, name, none }) {
  const width = Math.max(host.clientWidth, 280);
  const height = Math.round(Math.min(Math.max(width * 0.6, 300), 520));
  if (!dots.length) {
    host.replaceChildren(Object.assign(document.createElement("p"), { className: "missing", textContent: none }));
    return;
  }
  const x = scale(dots.map((dot) => dot.x), xAxis, EDGE.left, width - EDGE.right, width < 520 ? 4 : 8);
  const y = scale(dots.map((dot) => dot.y), yAxis, height - EDGE.bottom, EDGE.top, 6);
  const placed = dots.map((dot) => ({ ...dot, left: x.place(dot.x), top: y.place(dot.y) }));
  placed.sort((a, b) => a.left - b.left);
  const layer = svg("g");
  const picture = svg(
    "svg",
    { viewBox: `0 0 ${width} ${height}`, height, role: "application", tabindex: 0, id: "scatter",
      "aria-label": `${name}: ${dots.length} architectures. Arrow keys walk, Enter chooses.` },
    frame(x, y, width, height), frontLine(placed, xAxis, yAxis), placed.map(mark), labels(placed, width), rings(placed, chosen), layer,
  );
  listen(picture, placed, { tell, pick, layer, height });
  const hadFocus = document.activeElement?.id === "scatter";
  host.replaceChildren(picture);
  if (hadFocus) picture.focus({ preventScroll: true });
}

function frame(x, y, width, height) {
  const [bottom, right] = [height - EDGE.bottom, width - EDGE.right];
  return [
    x.marks.map(([at, text]) => [
      svg("line", { class: "grid", x1: at, x2: at, y1: EDGE.top, y2: bottom }),
      svg("text", { x: at, y: bottom + 17, "text-anchor": "middle" }, text),
    ]).flat(),
    y.marks.map(([at, text]) => [
      svg("line", { class: "grid", x1: EDGE.left, x2: right, y1: at, y2: at }),
      svg("text", { x: EDGE.left - 8, y: at + 4, "text-anchor": "end" }, text),
    ]).flat(),
    svg("path", { class: "edge", fill: "none", d: `M${EDGE.left} ${EDGE.top}V${bottom}H${right}` }),
    svg("text", { class: "axis", x: (EDGE.left + right) / 2, y: height - 6, "text-anchor": "middle" }, x.label),
    svg("text", { class: "axis", transform: `translate(14 ${(EDGE.top + bottom) / 2}) rotate(-90)`, "text-anchor": "middle" }, y.label),
  ].flat();
}

function frontLine(placed, xAxis, yAxis) {
  const front = frontOf(placed, xAxis, yAxis);
  if (front.length < 2) return null;
  const isAcross = xAxis.better === "low";
  const steps = front.slice(1).map((dot) => (isAcross ? `H${dot.left}V${dot.top}` : `V${dot.top}H${dot.left}`));
  return svg("path", { class: "front", d: `M${front[0].left} ${front[0].top}${steps.join("")}` });
}

function mark(dot) {
  return svg("path", { d: SHAPES[dot.shape], class: `dot ${dot.style}`, transform: `translate(${dot.left} ${dot.top})`, "data-point": dot.id });
}

/** Names of the picks, where they cover neither each other nor another pick. */
function labels(placed, width) {
  const named = placed.filter((dot) => dot.point.name !== null);
  const taken = named.map((dot) => [dot.left - 8, dot.top - 8, dot.left + 8, dot.top + 8]);
  const made = [];
  for (const dot of named.slice(0, 40)) {
    const long = Math.min(dot.point.name.length, 24) * 6.4;
    for (const [dx, dy] of [[12, 4], [-12 - long, 4], [-long / 2, -13], [-long / 2, 21]]) {
      const box = [dot.left + dx, dot.top + dy - 10, dot.left + dx + long, dot.top + dy + 3];
      const isFree = taken.every((other) => box[2] < other[0] || box[0] > other[2] || box[3] < other[1] || box[1] > other[3]);
      if (isFree && box[0] > EDGE.left && box[2] < width) {
        taken.push(box);
        const text = dot.point.name.length > 24 ? `${dot.point.name.slice(0, 23)}…` : dot.point.name;
        made.push(svg("text", { class: "said-name", x: box[0], y: dot.top + dy }, text));
        break;
      }
    }
  }
  return made;
}

function rings(placed, chosen) {
  return Object.entries(chosen).flatMap(([letter, point]) => {
    const dot = placed.find((one) => one.point === point);
    if (!dot) return [];
    return [
      svg("circle", { class: "ring", cx: dot.left, cy: dot.top, r: 12 }),
      svg("text", { class: "letter", x: dot.left + 11, y: dot.top - 10 }, letter.toUpperCase()),
    ];
  });
}

function listen(picture, placed, { tell, pick, layer, height }) {
  let at = -1;
  const show = (index) => {
    at = index;
    layer.replaceChildren();
    if (index < 0) return hideTip();
    const dot = placed[index];
    layer.append(svg("path", { d: SHAPES[dot.shape], class: `dot ${dot.style} here`, transform: `translate(${dot.left} ${dot.top}) scale(1.4)` }));
    const where = () => {
      const box = picture.getBoundingClientRect();
      const [left, top] = [box.left + dot.left * (box.width / picture.viewBox.baseVal.width), box.top + dot.top * (box.height / height)];
      return new DOMRect(left - 8, top - 8, 16, 16);
    };
    showTip(where, ...tell(dot));
  };
  const nearest = (event) => {
    const box = picture.getBoundingClientRect();
    const [px, py] = [(event.clientX - box.left) * (picture.viewBox.baseVal.width / box.width), (event.clientY - box.top) * (height / box.height)];
    let [best, least] = [-1, REACH];
    placed.forEach((dot, index) => {
      const far = Math.hypot(dot.left - px, dot.top - py) - (dot.point.name === null ? 0 : 5);
      if (far < least) [best, least] = [index, far];
    });
    return best;
  };
  picture.addEventListener("pointermove", (event) => show(nearest(event)));
  picture.addEventListener("pointerleave", () => show(-1));
  picture.addEventListener("blur", () => show(-1));
  picture.addEventListener("click", (event) => {
    const index = nearest(event);
    if (index >= 0) pick(placed[index]);
  });
  picture.addEventListener("keydown", (event) => {
    const next = { ArrowRight: at + 1, ArrowUp: at + 1, ArrowLeft: at - 1, ArrowDown: at - 1, Home: 0, End: placed.length - 1 }[event.key];
    if (next !== undefined) {
      event.preventDefault();
      show(Math.min(Math.max(next, 0), placed.length - 1));
    } else if ((event.key === "Enter" || event.key === " ") && at >= 0) {
      event.preventDefault();
      pick(placed[at]);
    }
  });
}
