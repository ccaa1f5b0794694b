/* What is known of an architecture, as axes of the plot and rows of the comparison. */

import { bytes, count, digits, metric, mj, ms } from "./format.js";

const BYTES = [["GiB", 2 ** 30], ["MiB", 2 ** 20], ["KiB", 2 ** 10], ["bytes", 1]];
const COUNT = [["G", 1e9], ["M", 1e6], ["k", 1e3], ["", 1]];
const TIME = [["ms", 0.1], ["µs", 1e-3]];
const ENERGY = [["mJ", 0.1], ["µJ", 1e-3]];
const FACTOR = { "µs": 1e-3, "µJ": 1e-3, ms: 1, mJ: 1 };

const predicted = (name) => (point) => point.predicted[name] ?? null;
const deployed = (name) => (_, deployment) => deployment?.[name] ?? null;

/** All axes of a run; `better` is the direction, `group` which view they belong to. */
export function axesOf(run) {
  const name = run.metric ?? "metric";
  const score = (value) => metric(name, value);
  const quality = (value) => (Math.abs(value) >= 1000 ? count(value) : digits(value, 4));
  const scorer = run.scorer ? `quality by ${run.scorer}` : "quality";
  const percentages = name === "accuracy" ? [["%", 0.01]] : [["", 1]];
  const all = run.points.flatMap((point) => point.deployments);
  const only = (name) => [...new Set(all.map((d) => d[name]).filter(Boolean))].join(" or ");
  const axis = (key, label, of, say, better, group, units) => ({ key, label, of, say, better, group, units });
  return [
    axis("latency", "predicted latency", predicted("latency_ms"), ms, "low", "predicted", TIME),
    axis("energy", "predicted energy", predicted("energy_mj"), mj, "low", "predicted", ENERGY),
    axis("macs", "MACs", predicted("macs"), count, "low", "predicted", COUNT),
    axis("params", "parameters", predicted("params"), count, "low", "predicted", COUNT),
    axis("weights", "weight memory", predicted("weight_bytes"), bytes, "low", "predicted", BYTES),
    axis("activations", "peak activations", predicted("activation_bytes"), bytes, "low", "predicted", BYTES),
    axis("quality", scorer, predicted("quality"), quality, "high", "predicted", COUNT),
    axis("trained", `${name} in torch`, (point) => point.trained, score, "high", "measured", percentages),
    axis("measured", `${only("kind")} latency`.trim(), deployed("measured_ms"), ms, "low", "measured", TIME),
    axis("measured-energy", `${only("energy_source")} energy of the device`.trim(), deployed("energy_mj"), mj, "low", "measured", ENERGY),
    axis("peak", "peak memory", deployed("peak_memory_bytes"), bytes, "low", "measured", BYTES),
    axis("file", "size of the model file", deployed("file_bytes"), bytes, "low", "measured", BYTES),
    axis("metric", `${name} deployed`, deployed("metric_value"), score, "high", "measured", percentages),
  ];
}

/** What the amounts up to `most` are divided by, and the unit they then have. */
export function unitOf(axis, most) {
  const [unit, from] = axis.units.find(([, least]) => Math.abs(most) >= least) ?? axis.units.at(-1);
  return [unit, FACTOR[unit] ?? from];
}

export const deploymentAt = (point, precision) => point.deployments.find((d) => d.precision === precision) ?? null;

/** The value of a point on an axis; null where it is not known. */
export const valueOf = (axis, point, precision) => axis.of(point, deploymentAt(point, precision));

/** Those that no other beats on both axes, in order of x; `x` and `y` are their values. */
export function frontOf(dots, xAxis, yAxis) {
  const [sx, sy] = [xAxis, yAxis].map((axis) => (axis.better === "low" ? 1 : -1));
  const sorted = [...dots].sort((a, b) => sx * (a.x - b.x) || sy * (a.y - b.y));
  const front = [];
  for (const dot of sorted) {
    if (!front.length || sy * dot.y < sy * front.at(-1).y) front.push(dot);
  }
  return sx > 0 ? front : front.reverse();
}
