/* Two architectures side by side: what is predicted, what was measured, and where they differ. */

import { chip, el } from "./dom.js";
import { ms, percent, ratio } from "./format.js";

/** What an architecture is called. */
export const nameOf = (point) => point.name ?? "front point";

/** How far its rank is proven. */
export function proofOf(point) {
  if (point.objective === "baseline") return "original network";
  if (point.name === null) return point.is_proven ? "on the proven front" : "on the front, not proven";
  return point.is_proven ? `proven rank ${point.rank}` : `rank ${point.rank}, not proven`;
}

/** The comparison of `a` and `b`, points of `run`. */
export function compare(run, axes, a, b) {
  return [
    el("div", { class: "scroll" }, el(
      "table", { class: "duel", id: "duel" }, el("caption", { class: "hidden" }, "Two architectures, value by value"),
      heads(a, b, "to A"),
      el(
        "tbody", {}, ...axes.filter((axis) => axis.group === "predicted" || axis.key === "trained")
          .map((axis) => pair(axis.label, axis, axis.of(a, null), axis.of(b, null))),
        ...measured(run, axes, a, b),
      ),
    )),
    el("h3", {}, differing(a, b)),
    el("div", { class: "scroll" }, slots(run, a, b)),
  ];
}

function heads(a, b, last, isFull = true) {
  const about = (point) => [
    el("small", {}, proofOf(point)), point.budget ? el("small", {}, point.budget) : null,
    point.notes.map((note) => el("small", { class: "bad" }, note)),
  ].flat();
  const head = (letter, point) => el(
    "th", { class: "side", scope: "col" }, el("span", { class: "tag" }, letter), nameOf(point), isFull ? about(point) : null,
  );
  return el("thead", {}, el("tr", {}, el("th", { "aria-label": "what" }), head("A", a), head("B", b), el("th", { scope: "col" }, last)));
}

function pair(label, axis, va, vb, small = [null, null]) {
  if (va === null && vb === null) return null;
  const sign = axis.better === "low" ? 1 : -1;
  const isSame = va !== null && vb !== null && axis.say(va) === axis.say(vb); // what reads alike is alike
  const isBetter = (mine, other) => mine !== null && other !== null && !isSame && sign * mine < sign * other;
  const cell = (mine, other, note) => el(
    "td", { class: isBetter(mine, other) ? "better" : null }, mine === null ? "–" : axis.say(mine), note ? el("small", {}, note) : null,
  );
  return el(
    "tr", {}, el("th", { class: "name", scope: "row" }, label), cell(va, vb, small[0]), cell(vb, va, small[1]),
    el("td", {}, va !== null && vb !== null && va > 0 ? (isSame ? "=" : ratio(vb / va)) : "–"),
  );
}

/** Rows for every precision and device that either was deployed at. */
function measured(run, axes, a, b) {
  const both = [...a.deployments, ...b.deployments];
  const groups = [...new Map(both.map((d) => [`${d.precision} on ${d.device}`, d])).entries()];
  return groups.flatMap(([title, like]) => {
    const find = (point) => point.deployments.find((d) => d.precision === like.precision && d.device === like.device) ?? null;
    const [da, db] = [find(a), find(b)];
    const spreads = [da, db].map((d) => d && (d.failure ?? (d.spread ? `± ${percent(d.spread)}${d.is_steady ? "" : ", unsteady"}` : "")));
    const latency = axes.find((axis) => axis.key === "latency");
    const kinds = [...new Set([da, db].filter(Boolean).map((d) => d.kind))].join(", ");
    return [
      el("tr", { class: "part" }, el("th", { class: "name", colspan: 4, scope: "rowgroup" }, `Deployed, ${title} `, chip(kinds, kinds), like.notes.map((note) => chip(note, "warn")))),
      pair("latency predicted for it", latency, da?.predicted_ms ?? null, db?.predicted_ms ?? null),
      ...axes.filter((axis) => axis.group === "measured" && axis.key !== "trained")
        .map((axis) => pair(axis.label, axis, axis.of(a, da), axis.of(b, db), axis.key === "measured" ? spreads : undefined)),
    ];
  });
}

function differing(a, b) {
  const n = a.choices.filter((choice, i) => choice !== b.choices[i]).length;
  if (n === 0) return "The same architecture: all slots agree.";
  return `${n} of ${a.choices.length} slots differ`;
}

function slots(run, a, b) {
  const most = Math.max(...run.slots.flatMap((slot, i) => [a, b].map((point) => slot.costs_ms[point.choices[i]] ?? 0)), 1e-12);
  const side = (slot, choice) => {
    const cost = slot.costs_ms[choice] ?? null;
    const bar = el("i");
    bar.style.width = `${(100 * (cost ?? 0)) / most}%`;
    return el(
      "td", { class: "bar-cell" }, el("code", {}, choice ?? "–"), choice === slot.original ? el("small", {}, "as the original") : null,
      cost === null ? null : [el("small", {}, ms(cost)), bar],
    );
  };
  return el(
    "table", { class: "duel", id: "slots" }, el("caption", { class: "hidden" }, "The choices at every slot"),
    heads(a, b, "to A, predicted", false),
    el("tbody", {}, run.slots.map((slot, i) => {
      const [one, other] = [a.choices[i], b.choices[i]];
      const [ca, cb] = [slot.costs_ms[one], slot.costs_ms[other]];
      const gap = ca === undefined || cb === undefined || one === other ? "" : `${cb > ca ? "+" : "−"}${ms(Math.abs(cb - ca))}`;
      const times = slot.layers > 1 ? ` · ${slot.layers} layers` : "";
      return el(
        "tr", { class: one === other ? null : "differs" }, el("th", { class: "name", scope: "row" }, slot.name, el("small", {}, slot.shape + times)),
        side(slot, one), side(slot, other), el("td", {}, gap),
      );
    })),
  );
}
