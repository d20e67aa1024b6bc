// The server's marks as decorations. Edits move them along, so that text keeps its colours until the answer is there.
import { Decoration, EditorView, Prec, StateEffect, StateField } from "../vendor/codemirror.js";

const PART_COLOURS = 6;
const OUTER = new Set(["tag", "quoted"]); // marks that lie around others

export const setPainting = StateEffect.define();

const nothing = { parts: Decoration.none, outer: Decoration.none, inner: Decoration.none };

function decorated(marks, length) {
  const ranges = marks
    .map(([name, start, end]) => [name, Math.min(start, length), Math.min(end, length)])
    .filter(([, start, end]) => start < end)
    .map(([name, start, end]) => Decoration.mark({ class: `astria-${name}` }).range(start, end));
  return Decoration.set(ranges, true);
}

function painting({ marks, parts }, length) {
  return {
    parts: decorated(parts.map(([number, , start, end]) => [number < 2 ? "scene" : `person-${(number - 2) % PART_COLOURS}`, start, end]), length),
    outer: decorated(marks.filter(([kind]) => OUTER.has(kind)), length),
    inner: decorated(marks.filter(([kind]) => !OUTER.has(kind)), length),
  };
}

const painted = StateField.define({
  create: () => nothing,
  update(value, transaction) {
    for (const effect of transaction.effects) if (effect.is(setPainting)) return painting(effect.value, transaction.newDoc.length);
    if (!transaction.docChanged) return value;
    const moved = (set) => set.map(transaction.changes);
    return { parts: moved(value.parts), outer: moved(value.outer), inner: moved(value.inner) };
  },
  // Marks of a higher precedence stand inside those of a lower one, and so their colour is the one seen.
  provide: (field) => [
    Prec.low(EditorView.decorations.from(field, (value) => value.parts)),
    EditorView.decorations.from(field, (value) => value.outer),
    Prec.high(EditorView.decorations.from(field, (value) => value.inner)),
  ],
});

export const paintedText = [painted];
