/* Which architectures are shown: within budgets, by what they were searched for, deployed or not. */

import { byId, el } from "./dom.js";

const STEPS = 200;
const BUDGETS = ["latency", "energy", "weights", "activations", "macs", "quality"];

/** Sliders and boxes for a run; `changed` is called whenever one moves. Gives the test of a point. */
export function makeFilters(run, axes, changed) {
  const sliders = axes.filter((axis) => BUDGETS.includes(axis.key)).map((axis) => slider(run, axis)).filter(Boolean);
  byId("budgets").replaceChildren(...sliders.map((one) => one.node));
  const objectives = [...new Set(run.points.map((point) => point.objective))];
  byId("objectives").replaceChildren(...objectives.map((name) => el(
    "label", {}, el("input", { type: "checkbox", name: "objective", value: name, checked: true }), ` ${name}`,
  )));
  byId("filters").oninput = () => {
    for (const one of sliders) one.say();
    changed();
  };
  byId("filters").onsubmit = (event) => event.preventDefault();
  byId("filters").onreset = () => setTimeout(byId("filters").oninput); // after the boxes are reset
  byId("deployed").checked = false;
  return (point) => {
    const wanted = [...document.getElementsByName("objective")].filter((box) => box.checked).map((box) => box.value);
    return wanted.includes(point.objective)
      && (!byId("deployed").checked || point.deployments.length > 0)
      && sliders.every((one) => one.passes(point));
  };
}

/** A slider between the least and the most of an axis; null where all are equal. */
function slider(run, axis) {
  const values = run.points.map((point) => axis.of(point, null)).filter((value) => value !== null);
  const [low, high] = [Math.min(...values), Math.max(...values)];
  if (values.length < 2 || low === high) return null;
  const isFloor = axis.better === "high";
  const said = el("b", {});
  const input = el("input", { type: "range", id: `within-${axis.key}`, min: 0, max: STEPS, value: isFloor ? 0 : STEPS });
  const limit = () => low + ((high - low) * Number(input.value)) / STEPS;
  const isOpen = () => Number(input.value) === (isFloor ? 0 : STEPS);
  const say = () => {
    said.textContent = isOpen() ? "any" : `${isFloor ? "≥" : "≤"} ${axis.say(limit())}`;
    input.setAttribute("aria-valuetext", said.textContent);
  };
  say();
  const slack = 1e-9 * Math.max(Math.abs(low), Math.abs(high));
  return {
    node: el("label", {}, axis.label, said, input),
    say,
    passes: (point) => {
      const value = axis.of(point, null);
      if (isOpen()) return true;
      return value !== null && (isFloor ? value >= limit() - slack : value <= limit() + slack);
    },
  };
}
