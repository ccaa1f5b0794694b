/* The page of look-up tables: the list, and the map of the one that is chosen. */

import { get, quote } from "./api.js";
import { byId, chip, el } from "./dom.js";
import { ms, percent } from "./format.js";
import { drawHeat, isKnown } from "./heat.js";
import { calm, hideTip, keep, kept, listDamaged, report, start } from "./shell.js";

const state = { luts: [], chosen: null, lut: null };

function cover(lut) {
  if (lut.n_wanted === null) return el("span", {}, `${lut.n_present} entries`, el("small", {}, "space not known here"));
  const share = lut.n_present / lut.n_wanted;
  const text = share === 1 ? "complete" : percent(Math.floor(share * 1000) / 1000);
  return el(
    "div", { class: "cover" },
    el("progress", { max: lut.n_wanted, value: lut.n_present, "aria-label": `${lut.n_present} of ${lut.n_wanted} entries` }),
    el("span", {}, `${lut.n_present} of ${lut.n_wanted}`, el("small", {}, text)),
  );
}

function row(lut) {
  const { check, device } = lut;
  return el(
    "tr", { class: "pick", "data-lut": lut.name, "aria-selected": lut.name === state.chosen, on: { click: () => choose(lut.name) } },
    el("td", { class: "name" },
      el("button", { type: "button", class: "link" }, device.name), el("small", {}, device.kind),
      device.notes.map((note) => chip(note, "warn"))),
    el("td", { class: "name long" }, lut.space),
    el("td", { class: "name" }, lut.precision),
    el("td", { class: "name" }, lut.method, el("small", {}, lut.source)),
    el("td", { class: "name" }, cover(lut)),
    el("td", {}, check ? percent(check.mean_error) : "no", check ? el("small", {}, `on ${check.n_networks} networks`) : null),
    el("td", { class: "name" }, lut.created.slice(0, 10) || "–"),
  );
}

function drawList() {
  const words = byId("find").value.toLowerCase().split(/\s+/).filter(Boolean);
  const found = state.luts.filter((lut) => {
    const text = `${lut.name} ${lut.device.name} ${lut.device.kind} ${lut.space} ${lut.precision} ${lut.method}`.toLowerCase();
    return words.every((word) => text.includes(word));
  });
  byId("luts").tBodies[0].replaceChildren(...found.map(row));
  byId("luts").hidden = state.luts.length === 0;
  byId("no-luts").hidden = state.luts.length > 0;
}

async function choose(name) {
  try {
    state.lut = await get(`v1/luts/${quote(name)}`);
    calm();
  } catch (error) {
    report(error);
    return;
  }
  state.chosen = name;
  keep({ lut: name });
  for (const line of byId("luts").tBodies[0].rows) {
    line.setAttribute("aria-selected", String(line.dataset.lut === name));
  }
  drawLut();
}

function drawLut() {
  const { lut } = state;
  byId("lut").hidden = false;
  byId("lut-title").textContent = `${lut.space} on ${lut.device.name}`;
  byId("lut-about").textContent =
    "What each choice costs at its slot. Framed: the original network's choice; empty: not legal there; striped: missing.";
  byId("lut-chips").replaceChildren(
    chip(lut.device.kind, lut.device.kind), chip(lut.precision), chip(lut.method), chip(`${lut.resolution} px`),
    chip(`stem and head ${ms(lut.fixed_ms)}`), ...lut.device.notes.map((note) => chip(note, "warn")),
    lut.is_corrected ? chip("corrected by whole networks") : "", lut.device.energy ? chip(`energy ${lut.device.energy}`) : "",
  );
  for (const input of byId("shown").querySelectorAll("input")) input.disabled = !isKnown(lut, input.value);
  const wanted = byId("shown").querySelector("input:checked");
  if (wanted.disabled) byId("shown").querySelector("input").checked = true;
  drawMap();
}

function drawMap() {
  hideTip();
  const { lut } = state;
  const kind = byId("shown").querySelector("input:checked").value;
  keep({ shown: kind === "latency" ? null : kind });
  const said = drawHeat(lut, kind);
  const { check } = lut;
  const checked = check
    ? `checked on ${check.n_networks} held-out networks: error ${percent(check.mean_error)} mean, ${percent(check.worst_error)} worst`
    : "not checked on held-out networks";
  byId("lut-source").textContent =
    `${said} Figures ${lut.device.kind} on ${lut.device.key}, ${lut.created || "date unknown"}; ${checked}.`;
}

byId("find").addEventListener("input", drawList);
byId("shown").addEventListener("change", drawMap);
start(async () => {
  const found = await get("v1/luts");
  state.luts = found.luts;
  listDamaged(found.damaged);
  const wanted = kept();
  const input = byId("shown").querySelector(`input[value="${CSS.escape(wanted.get("shown") ?? "latency")}"]`);
  if (input) input.checked = true;
  drawList();
  const first = state.luts.find((lut) => lut.name === wanted.get("lut")) ?? state.luts[0];
  if (first) await choose(first.name);
});
