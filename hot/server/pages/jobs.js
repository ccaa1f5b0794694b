/* The table of jobs: filtered, a row opens its details, buttons cancel or ask again. */

import { get, post } from "./api.js";
import { byId, el, list, replace, svg } from "./dom.js";
import { ago, between, bytes, mj, ms, percent, seconds } from "./format.js";
import { report } from "./shell.js";

const PAGE = 50;
const ACTIONS = { queued: "cancel", running: "cancel", failed: "retry", cancelled: "retry" };
const state = { limit: PAGE, opened: null, detail: null, mayAct: true, again: () => {} };
let isStarted = false;

/** Listen to the controls; `again` asks the server anew, `mayAct`: whether the role may change jobs. */
export function startJobs(again, mayAct) {
  state.again = again;
  state.mayAct = mayAct;
  if (isStarted) return;
  isStarted = true;
  for (const id of ["status", "device"]) {
    byId(id).addEventListener("change", () => {
      state.limit = PAGE;
      state.again();
    });
  }
  byId("older").addEventListener("click", () => {
    state.limit += PAGE;
    state.again();
  });
}

/** The newest jobs that pass the filter, page after page until there are as many as asked for. */
async function load() {
  const jobs = [];
  let after = null;
  do {
    const query = new URLSearchParams({ limit: String(PAGE) });
    if (byId("status").value) query.set("status", byId("status").value);
    if (byId("device").value) query.set("device", byId("device").value);
    if (after) query.set("after", after);
    const page = await get(`v1/jobs?${query}`);
    jobs.push(...page.jobs);
    after = page.next;
  } while (after && jobs.length < state.limit);
  return { jobs, hasMore: after !== null };
}

/** Draw the jobs; `devices` tells by key what figures are, measured or estimated, and their marks. */
export async function drawJobs(devices) {
  const { jobs, hasMore } = await load();
  if (state.opened && jobs.some((job) => job.id === state.opened)) {
    state.detail = await get(`v1/jobs/${state.opened}`);
  }
  replace(byId("jobs").tBodies[0], jobs.map((job) => rows(job, devices.get(job.device_key))));
  byId("jobs").hidden = jobs.length === 0;
  byId("no-jobs").hidden = jobs.length > 0;
  byId("older").hidden = !hasMore;
}

function rows(job, device) {
  const isOpen = state.opened === job.id;
  const row = el(
    "tr", { "data-job": job.id, "data-status": job.status },
    el("td", { class: "name" }, el(
      "button",
      { type: "button", class: "link", id: `job-${job.id}`, "aria-expanded": isOpen, on: { click: () => toggle(job) } },
      el("code", {}, job.id.slice(0, 8)),
    )),
    el("td", { class: "name" }, el("span", { class: `mark ${job.status}` }, job.status), el("small", {}, stage(job))),
    el("td", { class: "name" }, job.device, (device?.notes ?? []).map((note) => el("small", { class: "bad" }, note))),
    el("td", { class: "name" }, el("code", {}, job.artifact.slice(0, 8)), el("small", {}, job.precision)),
    el("td", {}, job.input_shape.slice(1).join("×")),
    el("td", {}, String(job.priority)),
    el("td", {}, ...latency(job, device?.kind)),
    el("td", {}, mj(job.measurement?.energy_mj)),
    el("td", { class: "name", title: job.created }, ago(job.created)),
    el("td", {}, job.started ? seconds(between(job.started, job.finished)) : "–"),
    el("td", {}, action(job)),
  );
  if (!isOpen || state.detail?.id !== job.id) return [row];
  return [row, el("tr", { class: "opened" }, el("td", { colspan: 11 }, details(state.detail)))];
}

function stage(job) {
  if (job.status === "queued" && job.servers === 0) return "no running server has this device";
  if (job.status === "queued" && job.position) return `place ${job.position}`;
  if (job.status === "running") return job.progress === job.status ? "" : job.progress;
  return job.attempts > 1 ? `${job.attempts} attempts` : "";
}

function latency(job, kind) {
  if (job.task === "compile") return [job.files ? `${job.files.length} files` : "–", el("small", {}, "compiled")];
  const found = job.measurement;
  if (!found) return ["–"];
  if (found.latency_ms === null) return [el("span", { class: "bad" }, "cannot run")];
  const said = [found.spread ? `± ${percent(found.spread)}` : "", found.is_steady ? "" : "unsteady", kind === "estimated" ? kind : ""];
  return [el("b", {}, ms(found.latency_ms)), el("small", {}, said.filter(Boolean).join(", "))];
}

function action(job) {
  const verb = ACTIONS[job.status];
  if (!verb || !state.mayAct) return null;
  return el(
    "button",
    {
      type: "button", class: "quiet", id: `${verb}-${job.id}`, "aria-label": `${verb} job ${job.id.slice(0, 8)}`,
      on: { click: (event) => act(verb, job, event.currentTarget) },
    },
    verb,
  );
}

async function act(verb, job, button) {
  button.disabled = true;
  try {
    const changed = await post(`v1/jobs/${job.id}/${verb}`);
    byId("said").textContent = `Job ${job.id.slice(0, 8)} is ${changed.status}.`;
  } catch (error) {
    if (error.status === 401) return report(error);
    byId("said").textContent = error.message;
  }
  state.again();
}

function toggle(job) {
  state.opened = state.opened === job.id ? null : job.id;
  state.detail = null;
  state.again();
}

function details(job) {
  const found = job.measurement;
  const slowest = [...(found?.nodes ?? [])].sort((a, b) => b.latency_ms - a.latency_ms).slice(0, 8);
  return [
    found?.failure ? el("p", { class: "bad" }, found.failure) : null,
    job.error ? el("p", { class: "bad" }, job.error) : null,
    found && found.samples_ms.length > 1 ? strip(found) : null,
    el(
      "div", { class: "facts" },
      list([
        ["job", el("code", {}, job.id)], ["model", el("code", {}, job.artifact)], ["asked", job.created],
        ["started", job.started], ["finished", job.finished], ["attempts", String(job.attempts)],
        ["progress", job.progress === job.status ? "" : job.progress], ["peak memory", found?.peak_memory_bytes ? bytes(found.peak_memory_bytes) : null],
        ...Object.entries(found?.counters ?? {}).map(([name, value]) => [name, value.toLocaleString("en")]),
      ]),
      job.files ? list(job.files.map((file) => [bytes(file.bytes), file.name])) : null,
      list(Object.entries(job.task === "measure" ? job.settings : {}).map(([name, value]) => [name, String(value)])),
      list(Object.entries(job.fingerprint)),
      slowest.length ? list(slowest.map((node) => [ms(node.latency_ms), `${node.name} (${node.operator})`])) : null,
    ),
  ];
}

/** The samples on a line, with the median. */
function strip(found) {
  const [low, high] = [Math.min(...found.samples_ms), Math.max(...found.samples_ms)];
  const across = (value) => 10 + (980 * (value - low)) / (high - low || 1);
  const middle = across(found.latency_ms);
  return el(
    "figure", {},
    svg(
      "svg", { class: "strip", viewBox: "0 0 1000 46", preserveAspectRatio: "none", role: "img",
        "aria-label": `${found.samples_ms.length} samples from ${ms(low)} to ${ms(high)}` },
      found.samples_ms.map((value, i) => svg("circle", { cx: across(value), cy: 12 + ((i * 37) % 23), r: 4 })),
      svg("line", { x1: middle, x2: middle, y1: 2, y2: 44 }),
    ),
    el("figcaption", { class: "source" },
      `${found.samples_ms.length} samples from ${ms(low)} to ${ms(high)}; the line is the median.`),
  );
}
