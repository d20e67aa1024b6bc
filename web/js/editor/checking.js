// Keeps a view painted and checked: the text goes to the server as it is typed, one request at a time.
import { completionStatus, setDiagnostics } from "../vendor/codemirror.js";
import { askForBinding } from "../sidebar/asking.js";
import { text } from "../texts.js";
import { setPainting } from "./painting.js";
import { names, parse } from "./server.js";

const CALM_MS = 350; // errors appear once the typing pauses: half a tag is not yet a mistake

// Writes what a diagnostic of `doc` offers, if what it speaks of still stands there: more may have been typed behind it.
// One step of undo.
function mended(view, doc, { start, end, text: written }) {
  if (view.state.sliceDoc(start, end) !== doc.sliceString(start, end)) return false;
  view.dispatch({ changes: { from: start, to: end, insert: written }, userEvent: "input.mend", scrollIntoView: true });
  view.focus();
  return true;
}

function actionsOf({ rewrite, bind }, doc) {
  const actions = rewrite ? [{ name: rewrite.label, apply: (view) => mended(view, doc, rewrite) }] : [];
  if (bind) actions.push({ name: text("editor.bind", { key: bind }), apply: () => askForBinding(bind) });
  return actions;
}

function shown(found, doc) {
  return {
    from: found.start,
    to: found.end,
    severity: found.severity,
    message: [found.message, found.hint].filter(Boolean).join("\n"),
    markClass: `astria-${found.severity}`,
    actions: actionsOf(found, doc),
    renderMessage() {
      const box = document.createElement("span");
      box.textContent = found.message;
      if (found.hint) box.append(Object.assign(document.createElement("span"), { className: "astria-hint", textContent: found.hint }));
      return box;
    },
  };
}

export class Checker {
  // `tell(diagnostics, trouble)` is called with what was found last, or with why nothing can be; `around()` is what the server is told of the node.
  constructor(view, tell, around) {
    this.view = view;
    this.tell = tell;
    this.around = around;
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
      trouble = text("editor.unchecked", { reason: error.message });
      found = { marks: [], parts: [], diagnostics: [] };
    }
    // During a composition nothing may move under the input method; its end is a change of its own.
    if (this.isOver || this.view.composing || !this.view.state.doc.eq(doc)) return;
    this.view.dispatch({ effects: setPainting.of(found) });
    clearTimeout(this.timer);
    if (!found.diagnostics.length && !trouble) this.#show(doc, [], "");
    this.timer = setTimeout(() => this.#tellAll(doc, found.diagnostics, trouble), CALM_MS);
  }

  // What the text says wrongly first, then with it what it names and is not here.
  async #tellAll(doc, diagnostics, trouble) {
    this.#show(doc, diagnostics, trouble);
    if (trouble || !doc.length) return;
    try {
      const absent = (await names({ text: doc.toString(), ...this.around() })).diagnostics;
      if (absent.length) this.#show(doc, [...diagnostics, ...absent].sort((one, other) => one.start - other.start), "");
    } catch (error) {
      console.warn(`Astria: names are not checked: ${error.message}`);
    }
  }

  #show(doc, diagnostics, trouble) {
    if (this.isOver || !this.view.state.doc.eq(doc)) return;
    // With a list open what stands at the cursor is half written, and the list says what is missing.
    const at = this.view.state.selection.main.head;
    const isChoosing = completionStatus(this.view.state) === "active";
    const told = diagnostics.filter(({ start, end }) => !isChoosing || at < start || end < at);
    if (told.length < diagnostics.length) {
      clearTimeout(this.timer);
      this.timer = setTimeout(() => this.#show(doc, diagnostics, trouble), CALM_MS);
    }
    this.view.dispatch(setDiagnostics(this.view.state, told.map((found) => shown(found, doc))));
    this.told = { doc, diagnostics: told };
    const acting = (found) => actionsOf(found, doc).map(({ name, apply }) => ({ name, run: () => apply(this.view) }));
    this.tell(told.map((found) => ({ ...found, actions: acting(found) })), trouble);
  }
}
