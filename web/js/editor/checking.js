// Keeps a view painted and checked: the text goes to the server as it is typed, one request at a time.
import { completionStatus, setDiagnostics } from "../vendor/codemirror.js";
import { setPainting } from "./painting.js";
import { parse } from "./server.js";

const CALM_MS = 350; // errors appear once the typing pauses: half a tag is not yet a mistake

// Writes what a diagnostic offers, if the text is still the one that it speaks of. One step of undo.
function mended(view, doc, { start, end, text }) {
  if (!view.state.doc.eq(doc)) return false;
  view.dispatch({ changes: { from: start, to: end, insert: text }, userEvent: "input.mend", scrollIntoView: true });
  view.focus();
  return true;
}

function shown(found, doc) {
  const { rewrite } = found;
  return {
    from: found.start,
    to: found.end,
    severity: found.severity,
    message: [found.message, found.hint].filter(Boolean).join("\n"),
    markClass: `astria-${found.severity}`,
    actions: rewrite ? [{ name: rewrite.label, apply: (view) => mended(view, doc, rewrite) }] : [],
    renderMessage() {
      const box = document.createElement("span");
      box.textContent = found.message;
      if (found.hint) box.append(Object.assign(document.createElement("span"), { className: "astria-hint", textContent: found.hint }));
      return box;
    },
  };
}

export class Checker {
  // `tell(diagnostics, trouble)` is called with what was found last, or with why nothing can be.
  constructor(view, tell) {
    this.view = view;
    this.tell = tell;
    this.isStale = false;
    this.isBusy = false;
    this.isOver = false;
    this.timer = 0;
    this.told = { doc: null, diagnostics: [] };
  }

  // Does what the diagnostic at the cursor offers, else the first one that offers something.
  mend() {
    const { doc, diagnostics } = this.told;
    const at = this.view.state.selection.main.head;
    const offering = diagnostics.filter((found) => found.rewrite);
    const found = offering.find(({ start, end }) => start <= at && at <= end) ?? offering[0];
    return found ? mended(this.view, doc, found.rewrite) : false;
  }

  changed() {
    this.isStale = true;
    this.#pump();
  }

  stop() {
    this.isOver = true;
    clearTimeout(this.timer);
  }

  async #pump() {
    if (this.isBusy) return;
    this.isBusy = true;
    while (this.isStale && !this.isOver) {
      this.isStale = false;
      await this.#check(this.view.state.doc);
    }
    this.isBusy = false;
  }

  async #check(doc) {
    let found;
    let trouble = "";
    try {
      found = await parse(doc.toString());
    } catch (error) {
      trouble = `The prompt is not being checked: ${error.message}`;
      found = { marks: [], parts: [], diagnostics: [] };
    }
    // During a composition nothing may move under the input method; its end is a change of its own.
    if (this.isOver || this.view.composing || !this.view.state.doc.eq(doc)) return;
    this.view.dispatch({ effects: setPainting.of(found) });
    this.#plan(doc, found.diagnostics, trouble, found.diagnostics.length || trouble ? CALM_MS : 0);
  }

  #plan(doc, diagnostics, trouble, wait) {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.#show(doc, diagnostics, trouble), wait);
  }

  #show(doc, diagnostics, trouble) {
    if (this.isOver || !this.view.state.doc.eq(doc)) return;
    // With a list open the text is half written, and the list says what is missing.
    if (completionStatus(this.view.state) === "active") return this.#plan(doc, diagnostics, trouble, CALM_MS);
    this.view.dispatch(setDiagnostics(this.view.state, diagnostics.map((found) => shown(found, doc))));
    this.told = { doc, diagnostics };
    return this.tell(diagnostics, trouble);
  }
}

