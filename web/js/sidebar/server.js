// What the sidebar asks of the pack's routes. A refusal is an Error with the server's text, and its `hint`.
import { api } from "../../../../scripts/api.js";
import { text } from "../texts.js";
import { field, h, openDialog } from "./dom.js";

async function send(method, path, body) {
  const isForm = body instanceof FormData;
  const options = { method, cache: "no-store" };
  if (body !== undefined) options.body = isForm ? body : JSON.stringify(body);
  if (body !== undefined && !isForm) options.headers = { "Content-Type": "application/json" };
  const answer = await api.fetchApi(`/astria/${path}`, options);
  const told = await answer.json().catch(() => ({}));
  if (answer.ok) return told;
  throw Object.assign(new Error(told.error?.message ?? text("key.answers", { status: `${answer.status} ${answer.statusText}`.trim() })), { hint: told.error?.details ?? "", kind: told.error?.type });
}

async function ask(method, path, body) {
  try {
    return await send(method, path, body);
  } catch (error) {
    if (error.kind !== "sidebar-key") throw error;
    await enterKey(error);
    return send(method, path, body);
  }
}

let entering = null; // several requests wait for one dialog

// Asks for the key of a ComfyUI that other machines reach; the browser then holds a cookie in its place.
function enterKey(error) {
  entering ??= new Promise((resolve, reject) => {
    const key = h("input", { type: "password", autocomplete: "current-password", autofocus: true });
    const act = async () => {
      await send("POST", "editor/key", { key: key.value.trim() });
      resolve();
    };
    const content = [h("p", {}, `${error.message[0].toUpperCase()}${error.message.slice(1)}.`), field(text("key.key"), key, error.hint)];
    const { dialog } = openDialog({ title: text("key.title"), content, action: text("key.open"), act });
    dialog.addEventListener("close", () => reject(error)); // after the key was taken it changes nothing
  }).finally(() => (entering = null));
  return entering;
}

export const listTunes = (search, offset) => ask("GET", `editor/tunes?${new URLSearchParams({ search, offset })}`);
export const createTune = (form) => ask("POST", "editor/tunes", form);
export const changeTraining = ({ id, title }, act) => ask("POST", `editor/tunes/${id}/training`, { title, act });
export const deleteTune = ({ id, title }) => ask("DELETE", `editor/tunes/${id}`, { title });
export const listBindings = () => ask("GET", "editor/bindings");
export const listChoices = (key) => ask("GET", `editor/bindings/choices?${new URLSearchParams({ key })}`);
export const bind = (key, file) => ask("PUT", "editor/bindings", { key, file });
export const unbind = (key) => ask("DELETE", "editor/bindings", { key });
export const fleetStatus = () => ask("GET", "editor/fleet");
export const listLoras = (search, offset) => ask("GET", `editor/loras?${new URLSearchParams({ search, offset })}`);
export const namedLora = (name) => ask("GET", `editor/loras/named?${new URLSearchParams({ name })}`);
export const listModels = () => ask("GET", "editor/models");
export const explain = (asked) => ask("POST", "explain", asked);
