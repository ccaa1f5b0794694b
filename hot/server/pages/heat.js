/* The heat map of a table: a row a slot, a column a choice; arrow keys walk, hovering tells all. */

import { css, inkOn, scaleOf } from "./colour.js";
import { byId, el, list } from "./dom.js";
import { digits, mj, ms, percent, ratio } from "./format.js";
import { hideTip, showTip } from "./shell.js";

/** What can be shown: the value of a cell, its text in the map, and in a sentence. */
export const SHOWN = {
  latency: { of: (cell) => cell.latency_ms, say: ms, unit: ["ms", "µs"], middle: null },
  energy: { of: (cell) => cell.energy_mj, say: mj, unit: ["mJ", "µJ"], middle: null },
  ratio: { of: toOriginal, say: ratio, unit: ["×", "×"], middle: 1 },
};

function toOriginal(cell, row) {
  const original = row.original === null ? null : row.cells[row.original]?.latency_ms;
  return original > 0 && cell.latency_ms !== null ? cell.latency_ms / original : null;
}

/** Whether the table knows any value of this kind. */
export function isKnown(lut, kind) {
  return lut.rows.some((row) => row.cells.some((cell) => cell && SHOWN[kind].of(cell, row) !== null));
}

/** Draw `lut` into the page's map and its scale. */
export function drawHeat(lut, kind) {
  const shown = SHOWN[kind];
  const values = lut.rows.flatMap((row) => row.cells.map((cell) => cell && shown.of(cell, row)));
  const known = values.filter((value) => value !== null);
  const scale = scaleOf(known.length ? known : [1], shown.middle);
  const isSmall = kind !== "ratio" && Math.max(...known) < 0.5;
  const [factor, unit] = isSmall ? [1e3, shown.unit[1]] : [1, shown.unit[0]];
  const map = byId("heat");
  map.replaceChildren(
    el("caption", { class: "hidden" }, `${kind} of every choice at every slot`),
    el("thead", {}, el("tr", {}, el("td", { "aria-label": "slot" }), lut.columns.map((key) => el("th", { scope: "col" }, el("span", {}, key))))),
    el("tbody", {}, lut.rows.map((row) => line(lut, row, (cell) => {
      const value = shown.of(cell, row);
      return value === null ? null : { text: digits(value * factor, 2), rgb: scale.rgb(value) };
    }))),
  );
  const bar = el("i");
  bar.style.background = scale.bar;
  byId("scale").replaceChildren(shown.say(scale.low), bar, shown.say(scale.high));
  const cells = [...map.querySelectorAll("td[data-column]")];
  if (cells.length) cells[0].tabIndex = 0;
  return kind === "ratio" ? "Numbers are ratios of latency; below 1 is faster than the original."
    : `Numbers are in ${unit}, all repeated layers of a slot together.`;
}

function line(lut, row, paint) {
  const times = row.layers > 1 ? ` · ${row.layers} layers` : "";
  return el(
    "tr", {}, el("th", { scope: "row" }, row.name, el("small", {}, row.shape + times)),
    row.cells.map((cell, column) => {
      if (cell === null) return el("td", { "aria-label": "not legal" });
      const paintwork = paint(cell);
      const isOriginal = column === row.original;
      const tell = (event) => tip(event.currentTarget, lut, row, column);
      const node = el(
        "td",
        { class: `${paintwork ? "" : "gap"} ${isOriginal ? "origin" : ""}`, tabindex: -1, "data-column": column,
          on: { pointerenter: tell, pointerdown: tell, pointerleave: hideTip, focus: tell, blur: hideTip, keydown: walk } },
        paintwork ? paintwork.text : cell.latency_ms === null ? "?" : "–",
      );
      if (paintwork) {
        node.style.background = css(paintwork.rgb);
        node.style.color = inkOn(paintwork.rgb);
      }
      return node;
    }),
  );
}

function tip(node, lut, row, column) {
  const cell = row.cells[column];
  const against = toOriginal(cell, row);
  showTip(
    () => node.getBoundingClientRect(),
    el("b", {}, `${lut.columns[column]} at ${row.name}`),
    column === row.original ? "the original network's choice" : "",
    cell.latency_ms === null ? "Not in the table yet: its build has not ended." : list([
      ["latency", ms(cell.latency_ms)],
      ["spread", cell.spread ? `± ${percent(cell.spread)}` : null],
      ["energy", cell.energy_mj === null ? "not told" : mj(cell.energy_mj)],
      ["to the original", against === null ? null : ratio(against)],
      ["samples", cell.n_samples > 1 ? String(cell.n_samples) : null],
      ["layers", row.layers > 1 ? String(row.layers) : null],
      ["at", row.shape],
    ]),
  );
}

const STEPS = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };

/** The next legal cell in the direction of an arrow key. */
function walk(event) {
  const step = STEPS[event.key];
  if (!step) return;
  event.preventDefault();
  const rows = [...byId("heat").tBodies[0].rows];
  let [r, c] = [rows.indexOf(event.currentTarget.parentNode), event.currentTarget.cellIndex];
  for (;;) {
    [r, c] = [r + step[0], c + step[1]];
    const next = rows[r]?.cells[c];
    if (!next) return;
    if (next.dataset.column !== undefined) {
      event.currentTarget.tabIndex = -1;
      next.tabIndex = 0;
      next.focus();
      return;
    }
  }
}
