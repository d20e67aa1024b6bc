// What the editor asks of the pack's routes. Offsets are those of JavaScript strings.
import { api } from "../../../../scripts/api.js";

async function ask(route, body, signal) {
  const answer = await api.fetchApi(`/astria/${route}`, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
    signal,
  });
  const told = await answer.json();
  if (!answer.ok) throw new Error([told.error?.message ?? answer.statusText, told.error?.details].filter(Boolean).join(" "));
  return told;
}

export const parse = (text) => ask("parse", { text });
export const complete = (text, offset, asked, signal) => ask("complete", { text, offset, asked }, signal);
export const describe = (text, offset) => ask("describe", { text, offset });
export const names = (asked) => ask("names", asked);
export const step = (asked) => ask("step", asked);
export const mask = (asked) => ask("mask", asked);
export const asNodes = (asked) => ask("as_nodes", asked);
