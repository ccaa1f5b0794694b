/* The page of runs: the list, the plot with its filters, two architectures compared, the table. */

import { get, quote } from "./api.js";
import { axesOf, deploymentAt, valueOf } from "./axes.js";
import { compare, nameOf, proofOf } from "./compare.js";
import { byId, chip, el, list, replace, svg } from "./dom.js";
import { makeFilters } from "./filters.js";
import { drawPlot, symbol } from "./plot.js";
import { calm, hideTip, keep, kept, listDamaged, report, start } from "./shell.js";

const ROWS = 15;
const VIEWS = { predicted: ["latency", "quality"], deployed: ["measured", "metric"] };
const state = { run: null, axes: [], passes: () => true, a: null, b: null, rows: ROWS, chosen: null };

const idOf = (point) => point.name ?? point.architecture;
const axis = (id) => state.axes.find((one) => one.key === byId(id).value);

function listRow(run) {
  return el(
    "tr", { class: "pick", "data-run": run.name, "aria-selected": run.name === state.chosen, on: { click: () => choose(run.name) } },
    el("td", { class: "name long" }, el("button", { type: "button", class: "link" }, run.name)),
    el("td", { class: "name" }, run.space),
    el("td", { class: "name" }, run.device?.name ?? "–", el("small", {}, run.device?.kind ?? "")),
    el("td", {}, String(run.n_candidates)), el("td", {}, String(run.n_deployments)), el("td", {}, String(run.n_front || "–")),
    el("td", { class: "name" }, run.date.slice(0, 16) || "–"),
  );
}

async function choose(name) {
  try {
    state.run = await get(`v1/runs/${quote(name)}`);
    calm();
  } catch (error) {
    report(error);
    return;
  }
  if (name !== state.chosen && state.chosen !== null) keep({ a: null, b: null, x: null, y: null });
  state.chosen = name;
  keep({ run: name });
  for (const row of byId("runs").tBodies[0].rows) row.setAttribute("aria-selected", String(row.dataset.run === name));
  begin();
}

/** Make the controls of the chosen run, with what the address keeps. */
function begin() {
  const { run } = state;
  state.axes = axesOf(run).filter((one) => run.points.some((point) => [null, ...point.deployments].some((d) => one.of(point, d) !== null)));
  state.rows = ROWS;
  byId("run").hidden = false;
  byId("run-title").textContent = run.name;
  byId("run-about").textContent = aboutFront(run.front);
  byId("run-chips").replaceChildren(
    ...[run.space, run.machine].filter(Boolean).map((text) => chip(text)),
    ...notesOf(run).map((note) => chip(note, "warn")),
  );
  byId("run-source").textContent = run.lut ? `Predictions by a latency table ${run.lut}.` : "No latency table.";
  const precisions = [...new Set(run.points.flatMap((point) => point.deployments.map((d) => d.precision)))];
  byId("precision").replaceChildren(...precisions.map((name) => el("option", {}, name)));
  byId("at").hidden = precisions.length < 2;
  const isKnown = (key) => state.axes.some((one) => one.key === key);
  byId("views").querySelector("[value=deployed]").disabled = !VIEWS.deployed.every(isKnown);
  for (const id of ["x", "y"]) byId(id).replaceChildren(...state.axes.map((one) => el("option", { value: one.key }, one.label)));
  setView("predicted");
  const wanted = kept();
  for (const id of ["x", "y"]) if (isKnown(wanted.get(id))) byId(id).value = wanted.get(id);
  markView();
  for (const side of ["a", "b"]) state[side] = run.points.find((point) => idOf(point) === wanted.get(side)) ?? null;
  state.passes = makeFilters(run, state.axes, draw);
  drawLegend();
  draw();
  drawComparison();
}

/** The marks of all devices whose figures the run shows. */
function notesOf(run) {
  const deployed = run.points.flatMap((point) => point.deployments.flatMap((d) => d.notes));
  return [...new Set([...(run.device?.notes ?? []), ...deployed])];
}

function aboutFront(front) {
  if (!front) return "Candidates with what was predicted and, where they were deployed, measured.";
  const thin = front.n_shown < front.n_points ? `, ${front.n_shown} of them shown,` : "";
  const proof = front.is_proven ? "proven" : "not proven";
  return `Candidates and the front: ${front.n_points} architectures${thin} of most quality by ${front.scorer} at every budget of ${front.resource}, ${proof}, under ${front.budget}.`;
}

function setView(view) {
  VIEWS[view].forEach((key, i) => {
    if (state.axes.some((one) => one.key === key)) byId("xy"[i]).value = key;
  });
}

/** Which view the chosen axes are, if any. */
function markView() {
  for (const input of byId("views").querySelectorAll("input")) {
    input.checked = VIEWS[input.value].every((key, i) => byId("xy"[i]).value === key);
  }
}

function styleOf(point) {
  if (point.objective === "baseline") return { shape: "baseline", style: "baseline" };
  if (point.name === null) return { shape: "dot", style: "front-point" };
  const names = [...new Set(state.run.points.map((p) => p.objective))].filter((n) => n !== "baseline" && n !== "front");
  return { shape: "pick", style: `s${names.indexOf(point.objective) % 5}` };
}

function drawLegend() {
  const kinds = new Map(state.run.points.map((point) => [point.objective, styleOf(point)]));
  byId("legend").replaceChildren(...[...kinds].map(([name, { shape, style }]) => el(
    "span", {}, svg("svg", { viewBox: "-10 -10 20 20", "aria-hidden": "true" }, symbol(shape, style)),
    name === "front" ? "front" : name === "baseline" ? "baseline" : `searched for ${name}`,
  )));
}

function draw() {
  hideTip();
  const { run } = state;
  const [xAxis, yAxis, precision] = [axis("x"), axis("y"), byId("precision").value];
  const shown = run.points.filter(state.passes);
  const dots = shown
    .map((point) => ({ point, id: idOf(point), x: valueOf(xAxis, point, precision), y: valueOf(yAxis, point, precision), ...styleOf(point) }))
    .filter((dot) => dot.x !== null && dot.y !== null);
  drawPlot(byId("plot"), {
    dots, xAxis, yAxis, name: run.name, none: run.points.length ? "No architecture passes the filter with a value on both axes." : "No candidates yet: run hot autosearch.", tell, pick: (dot) => toggle(dot.point),
    chosen: Object.fromEntries(["a", "b"].filter((side) => state[side]).map((side) => [side, state[side]])),
  });
  byId("count").textContent = `${shown.length} of ${run.points.length} shown`;
  drawTable(shown);
}

function tell({ point }) {
  const deployment = deploymentAt(point, byId("precision").value);
  const facts = state.axes.map((one) => [one.label, one.of(point, deployment)]).filter(([, value]) => value !== null);
  const said = facts.map(([label, value]) => [label, state.axes.find((one) => one.label === label).say(value)]);
  return [el("b", {}, nameOf(point)), proofOf(point), list(said), point.notes.length ? el("span", {}, point.notes.join("; ")) : ""];
}

/** Choose a point for the comparison, or let go of it; a third takes the place of the second. */
function toggle(point) {
  if (state.a === point) [state.a, state.b] = [state.b, null];
  else if (state.b === point) state.b = null;
  else if (!state.a) state.a = point;
  else state.b = point;
  keep({ a: state.a && idOf(state.a), b: state.b && idOf(state.b) });
  draw();
  drawComparison();
}

function drawComparison() {
  const { a, b, run, axes } = state;
  const isReady = a !== null && b !== null;
  byId("compare-none").hidden = isReady;
  byId("compare-none").textContent = a ? `${nameOf(a)} is chosen; choose another one to compare it with.`
    : "Choose two architectures: in the plot above, or in the table below.";
  byId("compare-body").replaceChildren(...(isReady ? compare(run, axes, a, b) : []));
}

const COLUMNS = ["latency", "energy", "macs", "weights", "activations", "quality", "trained", "measured", "metric"];

function drawTable(shown) {
  const columns = state.axes.filter((one) => COLUMNS.includes(one.key));
  const precision = byId("precision").value;
  byId("points").tHead.replaceChildren(el(
    "tr", {}, el("th", { scope: "col" }, "compare"), el("th", { scope: "col", class: "name" }, "architecture"),
    columns.map((one) => el("th", { scope: "col" }, one.label)),
  ));
  replace(byId("points").tBodies[0], shown.slice(0, state.rows).map((point, i) => {
    const letter = point === state.a ? "A" : point === state.b ? "B" : "";
    return el(
      "tr", { "data-point": idOf(point) },
      el("td", {}, el(
        "button", { type: "button", class: "quiet", id: `pick-${i}`, "aria-pressed": letter !== "", "aria-label": `compare ${nameOf(point)}`, on: { click: () => toggle(point) } },
        letter || "+",
      )),
      el("td", { class: "name" }, el("b", {}, nameOf(point)), el("small", {}, proofOf(point)), point.notes.map((note) => el("small", { class: "bad" }, note))),
      columns.map((one) => {
        const value = valueOf(one, point, precision);
        return el("td", {}, value === null ? "–" : one.say(value));
      }),
    );
  }));
  byId("all-points").hidden = shown.length <= state.rows;
  byId("all-points").textContent = `Show all ${shown.length}`;
}

for (const id of ["x", "y", "precision"]) {
  byId(id).addEventListener("change", () => {
    keep({ x: byId("x").value, y: byId("y").value });
    markView();
    draw();
  });
}
byId("views").addEventListener("change", (event) => {
  setView(event.target.value);
  keep({ x: byId("x").value, y: byId("y").value });
  draw();
});
byId("all-points").addEventListener("click", () => {
  state.rows = Infinity;
  draw();
});
let width = 0;
new ResizeObserver(([entry]) => {
  if (state.run && Math.abs(entry.contentRect.width - width) > 1) {
    width = entry.contentRect.width;
    requestAnimationFrame(draw);
  }
}).observe(byId("plot"));

start(async () => {
  const found = await get("v1/runs");
  listDamaged(found.damaged);
  byId("runs").tBodies[0].replaceChildren(...found.runs.map(listRow));
  byId("runs").hidden = found.runs.length === 0;
  byId("no-runs").hidden = found.runs.length > 0;
  const first = found.runs.find((run) => run.name === kept().get("run")) ?? found.runs[0];
  if (first) await choose(first.name);
});
