// Ctrl+Up and Ctrl+Down: the next value of what stands at the cursor, a tag's weight, a number, a choice, or the weight of words, as the server's grammar has it.
import { app } from "../../../../scripts/app.js";
import { step } from "./server.js";

const DEFAULT_DELTA = 0.05;

let before = Promise.resolve(); // keys that come while an answer is on its way wait for it

async function stepped(view, isUp) {
  const { doc, selection } = view.state;
  const { from, to } = selection.main;
  const delta = app.extensionManager?.setting.get("Comfy.EditAttention.Delta") ?? DEFAULT_DELTA;
  const found = await step({ text: doc.toString(), start: from, end: to, up: isUp, delta: String(delta) });
  if (found.text === undefined || view.composing || !view.state.doc.eq(doc)) return;
  const selected = { anchor: found.start, head: found.start + found.text.length };
  view.dispatch({ changes: { from: found.start, to: found.end, insert: found.text }, selection: selected, userEvent: "input.weigh", scrollIntoView: true });
}

function stepping(isUp) {
  return (view) => {
    if (view.state.readOnly) return false;
    before = before.then(() => stepped(view, isUp)).catch((error) => console.warn(`Astria: no next value: ${error.message}`));
    return true;
  };
}

export const weightKeys = [
  { key: "Mod-ArrowUp", run: stepping(true) },
  { key: "Mod-ArrowDown", run: stepping(false) },
];
