// Which prompt a person has in hand: the editor that was focused last, or the only one there is.
const open = new Set();
const listeners = new Set();
let last = null;

const announce = () => listeners.forEach((listen) => listen());

export function opened(editor) {
  open.add(editor);
  announce();
}

export function closed(editor) {
  open.delete(editor);
  if (last === editor) last = null;
  announce();
}

export function focused(editor) {
  if (last === editor) return;
  last = editor;
  announce();
}

export const changed = (editor) => editor === promptInHand() && announce();

// An editor has `node`, `text()`, `insert(text)` and `isLinked()`; null where there is none, or several of which none was focused.
export function promptInHand() {
  return last ?? (open.size === 1 ? [...open][0] : null);
}

// Calls `listen()` when the prompt in hand is another one or has another text; returns what ends that.
export function whenPromptChanges(listen) {
  listeners.add(listen);
  return () => listeners.delete(listen);
}
