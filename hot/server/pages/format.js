/* Numbers with their units, as hot writes them elsewhere. */

const NONE = "–";
const isNumber = (value) => typeof value === "number" && Number.isFinite(value);

/** Three significant digits without an exponent, however small or large. */
export function digits(value, n = 3) {
  if (!isNumber(value)) return NONE;
  if (value === 0) return "0";
  if (Math.abs(value) >= 10 ** n) return Math.round(value).toLocaleString("en");
  if (Math.abs(value) < 1e-4) return value.toExponential(n - 1);
  return Number(value.toPrecision(n)).toString();
}

export function ms(value) {
  if (!isNumber(value)) return NONE;
  return value > 0 && value < 0.1 ? `${digits(value * 1e3)} µs` : `${digits(value)} ms`;
}

export function mj(value) {
  if (!isNumber(value)) return NONE;
  return value > 0 && value < 0.1 ? `${digits(value * 1e3)} µJ` : `${digits(value)} mJ`;
}

export function bytes(value) {
  if (!isNumber(value)) return NONE;
  for (const [unit, factor] of [["GiB", 2 ** 30], ["MiB", 2 ** 20], ["KiB", 2 ** 10]]) {
    if (value >= factor) return `${digits(value / factor)} ${unit}`;
  }
  return `${Math.round(value)} B`;
}

export function count(value) {
  if (!isNumber(value)) return NONE;
  for (const [unit, factor] of [["G", 1e9], ["M", 1e6], ["k", 1e3]]) {
    if (value >= factor) return `${digits(value / factor)} ${unit}`;
  }
  return digits(value);
}

export function percent(value, places = 1) {
  return isNumber(value) ? `${(100 * value).toFixed(places)} %` : NONE;
}

export function ratio(value) {
  return isNumber(value) ? `${digits(value)}×` : NONE;
}

/** A task's metric: accuracies in percent, all others as they are. */
export function metric(name, value) {
  return name === "accuracy" ? percent(value, 2) : digits(value, 4);
}

/** The instant of a time as the server writes it: `2026-11-21 06:17:51 UTC`. */
function instant(text) {
  return text ? Date.parse(text.replace(" UTC", "Z").replace(" ", "T")) : NaN;
}

/** Seconds between two times of the server; `to` null: until now. */
export function between(from, to) {
  const [start, end] = [instant(from), to ? instant(to) : Date.now()];
  return Number.isNaN(start) || Number.isNaN(end) ? null : Math.max(0, (end - start) / 1e3);
}

export function seconds(value) {
  if (!isNumber(value)) return NONE;
  if (value < 120) return `${Math.round(value)} s`;
  if (value < 7200) return `${Math.round(value / 60)} min`;
  return value < 172800 ? `${Math.round(value / 3600)} h` : `${Math.round(value / 86400)} days`;
}

export function ago(text) {
  const past = between(text, null);
  return past === null ? NONE : past < 3 ? "now" : `${seconds(past)} ago`;
}
