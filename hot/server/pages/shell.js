/* What all pages do: sign in where the server asks for it, say what went wrong, show a tip. */

import { dropToken, get, hasToken, keepToken } from "./api.js";
import { byId, chip } from "./dom.js";

/** Show the page once the server lets the reader in: `draw(caller)`, again after each sign-in. */
export async function start(draw) {
  byId("sign-out").addEventListener("click", () => {
    dropToken();
    location.reload();
  });
  byId("login").addEventListener("submit", (event) => {
    event.preventDefault();
    keepToken(byId("token").value.trim());
    enter(draw);
  });
  await enter(draw);
}

async function enter(draw) {
  try {
    const [server, caller] = await Promise.all([get("v1/server"), get("v1/caller")]);
    byId("login").hidden = true;
    byId("token").value = "";
    byId("content").hidden = false;
    byId("sign-out").hidden = !hasToken();
    byId("who").textContent = hasToken() ? `${caller.name} (${caller.role})` : "";
    byId("chips").replaceChildren(
      chip(server.name), chip(`version ${server.version}`), chip(`up since ${server.started}`),
    );
    calm();
    await draw(caller);
  } catch (error) {
    report(error);
    if (error.status === 0) setTimeout(() => enter(draw), 3000);
  }
}

/** Say what went wrong; a token that is not taken leads back to the form. */
export function report(error) {
  if (error.name === "AbortError") return;
  if (error.status === 401) {
    byId("login-error").textContent = hasToken() ? error.message : "";
    dropToken();
    byId("content").hidden = true;
    byId("sign-out").hidden = true;
    byId("login").hidden = false;
    byId("token").focus();
    calm();
    return;
  }
  byId("trouble").textContent = error.message;
  byId("trouble").hidden = false;
  if (error.status === undefined) throw error;
}

/** Take back what went wrong. */
export function calm() {
  byId("trouble").hidden = true;
}

let place = null;

/** Show `content` beside a rectangle of the window, which `where()` tells, also after a scroll. */
export function showTip(where, ...content) {
  place = where;
  byId("tip").replaceChildren(...content);
  byId("tip").hidden = false;
  placeTip();
}

/** Where it covers neither the rectangle nor leaves the window. */
function placeTip() {
  const tip = byId("tip");
  const { left, right, top, bottom } = place();
  const { width, height } = tip.getBoundingClientRect();
  const isBeside = right + 12 + width < innerWidth - 12;
  const across = isBeside ? right + 12 : Math.min(left, innerWidth - width - 12);
  const down = isBeside ? top - 8 : top - height - 10 > 8 ? top - height - 10 : bottom + 10;
  tip.style.left = `${Math.max(12, across)}px`;
  tip.style.top = `${Math.max(8, Math.min(down, innerHeight - height - 8))}px`;
}

export function hideTip() {
  place = null;
  byId("tip").hidden = true;
}

addEventListener("keydown", (event) => {
  if (event.key === "Escape") hideTip();
});
addEventListener("scroll", () => place && placeTip(), { passive: true, capture: true });

/** What the address keeps behind `#`, so that a reload or a link shows the same. */
export const kept = () => new URLSearchParams(location.hash.slice(1));

/** Keep what is chosen in the address; what is empty is left out. */
export function keep(chosen) {
  const next = kept();
  for (const [name, value] of Object.entries(chosen)) {
    if (value === null || value === undefined || value === "") next.delete(name);
    else next.set(name, value);
  }
  history.replaceState(null, "", next.size ? `#${next}` : location.pathname);
}

/** The files that cannot be shown, and why. */
export function listDamaged(damaged) {
  byId("damaged").replaceChildren(
    ...damaged.map(({ name, error }) => {
      const line = document.createElement("p");
      line.className = "trouble";
      line.textContent = `${name} cannot be shown: ${error}`;
      return line;
    }),
  );
}
