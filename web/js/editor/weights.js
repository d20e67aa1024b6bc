// Ctrl+Up and Ctrl+Down weigh words, as they do in the host's own text boxes, which it knows by their element.
import { app } from "../../../../scripts/app.js";

const DELIMITERS = " .,\\/!?%^*;:{}=-_`~()\r\n\t";
const WEIGHED = /^\((.*):([+-]?(?:\d*\.)?\d+)\)$/s;
const DEFAULT_STEP = 0.05;

// The inside of the brackets around `at`, null where there are none.
function enclosure(text, at) {
  let depth = 0;
  let start = at - 1;
  for (; start >= 0; start--) {
    if (text[start] === "(" && depth === 0) break;
    if (text[start] === "(") depth--;
    else if (text[start] === ")") depth++;
  }
  if (start < 0) return null;
  depth = 0;
  for (let end = at; end < text.length; end++) {
    if (text[end] === ")" && depth === 0) return { from: start + 1, to: end };
    if (text[end] === "(") depth++;
    else if (text[end] === ")") depth--;
  }
  return null;
}

function word(text, at) {
  let [from, to] = [at, at];
  while (from > 0 && !DELIMITERS.includes(text[from - 1])) from--;
  while (to < text.length && !DELIMITERS.includes(text[to])) to++;
  return { from, to };
}

function weighed(text, step) {
  const [, inner, weight] = text.match(WEIGHED) ?? [null, text.replace(/^\((.*)\)$/s, "$1"), 1];
  const changed = Number((Number(weight) + step).toFixed(10));
  return changed === 1 ? inner : `(${inner}:${changed})`;
}

function weigh(view, sign) {
  if (view.state.readOnly) return false;
  const text = view.state.doc.toString();
  const { main } = view.state.selection;
  let { from, to } = main.empty ? (enclosure(text, main.head) ?? word(text, main.head)) : main;
  if (text[to - 1] === " ") to--;
  if (from >= to) return true;
  if (text[from - 1] === "(" && text[to] === ")") [from, to] = [from - 1, to + 1];
  const step = Number(app.extensionManager?.setting.get("Comfy.EditAttention.Delta") ?? DEFAULT_STEP);
  const insert = weighed(text.slice(from, to), sign * step);
  view.dispatch({ changes: { from, to, insert }, selection: { anchor: from, head: from + insert.length }, userEvent: "input.weigh" });
  return true;
}

export const weightKeys = [
  { key: "Mod-ArrowUp", run: (view) => weigh(view, 1) },
  { key: "Mod-ArrowDown", run: (view) => weigh(view, -1) },
];
