/* The server's end points, asked with the token that the reader gave; it stays in this tab. */

const KEY = "hot-token";

/** An answer from 400 upwards, or none at all (status 0). */
export class ApiError extends Error {
  constructor(status, code, message) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

export const hasToken = () => sessionStorage.getItem(KEY) !== null;
export const keepToken = (token) => sessionStorage.setItem(KEY, token);
export const dropToken = () => sessionStorage.removeItem(KEY);

async function ask(method, path, signal) {
  const token = sessionStorage.getItem(KEY);
  const headers = { Accept: "application/json" };
  if (token) headers.Authorization = `Bearer ${token}`;
  let answer;
  try {
    answer = await fetch(path, { method, headers, signal, cache: "no-store", credentials: "omit" });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError(0, "unreachable", "The server does not answer; trying again.");
  }
  const document = await answer.json().catch(() => null);
  if (!answer.ok) {
    const said = document?.error;
    throw new ApiError(answer.status, said?.code ?? "", said?.message ?? `The server answered ${answer.status}.`);
  }
  return document;
}

export const get = (path, signal) => ask("GET", path, signal);
export const post = (path) => ask("POST", path);

/** A name as a path: its slashes stay, all else is quoted. */
export const quote = (name) => name.split("/").map(encodeURIComponent).join("/");
