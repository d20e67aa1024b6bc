// The editor itself: a text box that is painted, checked and completed, and otherwise behaves as the stock one does.
import {
  Annotation,
  EditorState,
  EditorView,
  Transaction,
  highlightSpecialChars,
  history,
  keymap,
  nextDiagnostic,
  placeholder,
  previousDiagnostic,
  redo,
  standardKeymap,
  tooltips,
  undo,
} from "../vendor/codemirror.js";
import { text as worded } from "../texts.js";
import { Checker } from "./checking.js";
import { completing } from "./completing.js";
import { paintedText } from "./painting.js";
import { theme } from "./theme.js";
import { weightKeys } from "./weights.js";

const fromOutside = Annotation.define(); // a text that the graph sets, not a person

const keys = keymap.of([
  { key: "Mod-z", run: undo, preventDefault: true },
  { key: "Mod-y", run: redo, preventDefault: true },
  { key: "Mod-Shift-z", run: redo, preventDefault: true },
  { key: "F8", run: nextDiagnostic },
  { key: "Shift-F8", run: previousDiagnostic },
  { key: "Enter", run: newLine, shift: newLine },
  ...weightKeys,
  // Of CodeMirror's keys only those of a plain text box: the host's shortcuts, such as Ctrl+Enter, must reach it.
  ...standardKeymap.filter((binding) => binding.key !== "Enter"),
]);

// Tooltips stand outside the node, whose box is scaled and cuts off what leaves it. The body itself is a grid, in which they would cover the canvas.
function tooltipPlace() {
  const id = "astria-prompt-tooltips";
  let place = document.getElementById(id);
  if (!place) {
    place = Object.assign(document.createElement("div"), { id });
    Object.assign(place.style, { position: "fixed", top: "0", left: "0", width: "0", height: "0", zIndex: "10000" });
    // The host takes the focus from a text box when the mouse goes down outside of its node.
    place.addEventListener("mousedown", (event) => event.stopPropagation());
    document.body.append(place);
  }
  return place;
}

function newLine(view) {
  view.dispatch(view.state.replaceSelection("\n"), { scrollIntoView: true, userEvent: "input" });
  return true;
}

export class PromptView {
  // `edited(text)` is called with each text that a person makes; `tell(diagnostics, trouble)` when a text has been checked; `around()` is what the server is told of the node.
  constructor(parent, { text, hint, spellcheck, edited, tell, described, around }) {
    const changes = EditorView.updateListener.of((update) => {
      if (!update.docChanged) return;
      if (!update.transactions.some((one) => one.annotation(fromOutside))) edited(update.state.doc.toString());
      this.checker.changed();
    });
    const composed = EditorView.domEventHandlers({ compositionend: () => void setTimeout(() => this.checker.changed()) });
    const attributes = { "aria-label": worded("editor.label"), "aria-describedby": described, spellcheck: String(spellcheck) };
    this.view = new EditorView({
      parent,
      doc: text,
      extensions: [
        EditorState.allowMultipleSelections.of(false),
        history(),
        keys,
        keymap.of([{ key: "Mod-.", run: () => this.checker.mend(), preventDefault: true }]),
        EditorView.lineWrapping,
        EditorView.contentAttributes.of(attributes),
        highlightSpecialChars(),
        placeholder(hint),
        tooltips({ parent: tooltipPlace(), position: "fixed" }),
        paintedText,
        completing,
        changes,
        composed,
        theme,
      ],
    });
    // The editor's own undo looks at the type of the focused element, and leaves the keys to a text area.
    this.view.contentDOM.type = "textarea";
    this.checker = new Checker(this.view, (...found) => tell(...found), around);
    this.checker.changed();
  }

  // Shows a text that the graph sets. It is no step of undo.
  show(text) {
    const { doc } = this.view.state;
    const wanted = this.view.state.toText(text);
    if (doc.eq(wanted)) return;
    this.view.dispatch({ changes: { from: 0, to: doc.length, insert: wanted }, annotations: [fromOutside.of(true), Transaction.addToHistory.of(false)] });
  }

  // Writes a tag in place of what is selected, or where it was dropped, apart from the words around it. One step of undo.
  insert(tag, point = null) {
    const { doc, selection } = this.view.state;
    const { from, to } = point ? this.#behindWord(point) : selection.main;
    const [before, after] = [doc.sliceString(Math.max(from - 1, 0), from), doc.sliceString(to, to + 1)];
    const text = `${/\S/.test(before) ? " " : ""}${tag}${/[^\s,.;:]/.test(after) ? " " : ""}`;
    this.view.dispatch({ changes: { from, to, insert: text }, selection: { anchor: from + text.length }, userEvent: "input.insert", scrollIntoView: true });
    this.view.focus();
  }

  // The place of a point, behind the word that it lies in: a tag in the midst of one would break it.
  #behindWord(point) {
    this.view.requestMeasure(); // the canvas may have been zoomed since
    const at = this.view.posAtCoords(point, false);
    const { from, to, text } = this.view.state.doc.lineAt(at);
    const isInside = at > from && at < to && /\S/.test(text[at - from - 1]);
    const end = isInside ? at + text.slice(at - from).search(/$|[\s,;]/) : at;
    return { from: end, to: end };
  }

  // Looks again at what the text names: the graph around it has changed.
  check() {
    this.checker.changed();
  }

  goToProblem() {
    this.view.focus();
    nextDiagnostic(this.view);
  }

  destroy() {
    this.checker.stop();
    this.view.destroy();
  }
}
