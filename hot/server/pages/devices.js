/* The page of devices and of the queue: asked again every two seconds while it is looked at. */

import { get } from "./api.js";
import { byId, chip, el, list, replace } from "./dom.js";
import { drawJobs, startJobs } from "./jobs.js";
import { calm, report, start } from "./shell.js";

const PAUSE_MS = 2000;
let round = 0;

function tile(device) {
  const { info } = device;
  const waiting = device.queued === 1 ? "1 job waits" : `${device.queued} jobs wait`;
  const energy = info.energy ? `energy ${info.energy}` : "no energy";
  return el(
    "article", { class: "tile", "data-device": info.name },
    el("h3", {}, info.name, el("small", {}, device.key)),
    el("div", {}, chip(info.kind, info.kind), info.notes.map((note) => chip(note, "warn"))),
    el("p", {}, el("b", {}, waiting), device.running ? ", one runs" : ", none runs"),
    el("p", { class: "about" }, `${info.precisions.join(", ")} · ${info.formats.join(", ")} · ${energy}`),
    el(
      "details", { id: `of-${info.name}`, open: byId(`of-${info.name}`)?.open },
      el("summary", { id: `sum-${info.name}` }, "Fingerprint"),
      list(Object.entries(info.fingerprint)),
    ),
  );
}

function card(label, value, detail) {
  return el(
    "div", { class: "card" },
    el("p", { class: "label" }, label), el("p", { class: "value" }, String(value)),
    el("p", { class: "detail" }, detail),
  );
}

function drawDevices(devices) {
  const waiting = devices.reduce((sum, device) => sum + device.queued, 0);
  const running = devices.filter((device) => device.running).length;
  const measured = devices.filter((device) => device.info.kind === "measured").length;
  replace(
    byId("totals"),
    card("devices", devices.length, `${measured} measured, ${devices.length - measured} estimated`),
    card("waiting", waiting, waiting === 1 ? "job in the queue" : "jobs in the queue"),
    card("busy", running, running === 1 ? "device runs a job" : "devices run a job"),
  );
  replace(byId("devices"), devices.map(tile));
  const menu = byId("device");
  const names = devices.map((device) => device.info.name);
  if ([...menu.options].slice(1).map((option) => option.value).join("\n") !== names.join("\n")) {
    const chosen = menu.value;
    menu.replaceChildren(el("option", { value: "" }, "all"), ...names.map((n) => el("option", { value: n }, n)));
    menu.value = names.includes(chosen) ? chosen : "";
  }
}

function say(isLive) {
  document.querySelector(".pulse").classList.toggle("off", !isLive);
  byId("live").textContent = isLive ? "live" : "not live";
}

/** Ask and draw, then again after a pause; a later call ends this one's turns. */
async function follow() {
  const mine = ++round;
  while (mine === round) {
    if (!document.hidden) {
      try {
        const { devices } = await get("v1/devices");
        drawDevices(devices);
        await drawJobs(new Map(devices.map((device) => [device.key, device.info])));
        if (mine === round) calm();
        say(true);
      } catch (error) {
        say(false);
        report(error);
        if (error.status === 401) return;
      }
    }
    await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
  }
}

start(async (caller) => {
  startJobs(follow, caller.role !== "read");
  follow();
});
