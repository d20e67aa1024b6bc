// What the sidebar asks of the pack's routes. A refusal is an Error with the server's text, and its `hint`.
import { api } from "../../../../scripts/api.js";

async function ask(method, path, body) {
  const isForm = body instanceof FormData;
  const options = { method, cache: "no-store" };
  if (body !== undefined) options.body = isForm ? body : JSON.stringify(body);
  if (body !== undefined && !isForm) options.headers = { "Content-Type": "application/json" };
  const answer = await api.fetchApi(`/astria/${path}`, options);
  const told = await answer.json().catch(() => ({}));
  if (answer.ok) return told;
  throw Object.assign(new Error(told.error?.message ?? `ComfyUI answers ${answer.status} ${answer.statusText}.`), { hint: told.error?.details ?? "" });
}

export const listTunes = (search, offset) => ask("GET", `editor/tunes?${new URLSearchParams({ search, offset })}`);
export const createTune = (form) => ask("POST", "editor/tunes", form);
export const deleteTune = ({ id, title }) => ask("DELETE", `editor/tunes/${id}`, { title });
export const listBindings = () => ask("GET", "editor/bindings");
export const listChoices = (key) => ask("GET", `editor/bindings/choices?${new URLSearchParams({ key })}`);
export const bind = (key, file) => ask("PUT", "editor/bindings", { key, file });
export const unbind = (key) => ask("DELETE", "editor/bindings", { key });
export const listModels = () => ask("GET", "editor/models");
export const explain = (asked) => ask("POST", "explain", asked);
