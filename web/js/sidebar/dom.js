// Elements, dialogs and messages of the sidebar.
import { text } from "../texts.js";

let count = 0;

export const newId = (name) => `astria-${name}-${++count}`;

// h("button", { class: "x", onclick: go, disabled: true }, "Go"): attributes, handlers, then children.
export function h(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value === true) made.setAttribute(name, "");
    else if (value !== false && value != null) made.setAttribute(name, value);
  }
  made.append(...children.filter((child) => child != null && child !== false));
  return made;
}

export function button(label, onclick, attributes = {}) {
  return h("button", { type: "button", class: "astria-button", onclick, ...attributes }, label);
}

// A label above its field.
export function field(label, input, hint = "") {
  input.id ||= newId("field");
  const told = hint && h("small", { id: `${input.id}-hint` }, hint);
  if (told) input.setAttribute("aria-describedby", told.id);
  return h("div", { class: "astria-field" }, h("label", { for: input.id }, label), input, told || null);
}

// A place for messages, which screen readers are told: errors at once, the rest when they pause.
export function messages() {
  const errors = h("div", { role: "alert", class: "astria-error" });
  const notes = h("div", { role: "status", class: "astria-note" });
  const show = (place, lines) => place.replaceChildren(...lines.filter(Boolean).map((line) => h("p", {}, line)));
  return {
    root: h("div", { class: "astria-messages" }, errors, notes),
    clear: () => [errors, notes].forEach((place) => place.replaceChildren()),
    fail(error) {
      show(notes, []);
      show(errors, [error.message, error.hint]);
    },
    say(...lines) {
      show(errors, []);
      show(notes, lines);
    },
  };
}

// A modal dialog: focus stays inside, Escape and Cancel close it, and the focus goes back to where it was.
// `act()` is awaited when its form is sent; what it throws is shown inside, otherwise the dialog closes.
export function openDialog({ title, content, action, act, isGrave = false, cancel = text("dialog.cancel") }) {
  const told = messages();
  const heading = h("h2", { id: newId("dialog") }, title);
  const send = h("button", { type: "submit", class: `astria-button ${isGrave ? "astria-grave" : "astria-main"}` }, action);
  const form = h("form", { novalidate: true }, heading, ...content, told.root, h("div", { class: "astria-actions" }, button(cancel, () => dialog.close(), { autofocus: isGrave }), send));
  const dialog = h("dialog", { class: "astria-panel astria-dialog", "aria-labelledby": heading.id }, form);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    send.disabled = true;
    told.clear();
    try {
      await act(told);
      dialog.close();
    } catch (error) {
      told.fail(error);
    } finally {
      send.disabled = false;
    }
  });
  // The host's shortcuts are not meant in here, nor are its dropped files.
  for (const kind of ["keydown", "keyup", "paste", "copy", "cut", "drop", "dragover"]) dialog.addEventListener(kind, (event) => event.stopPropagation());
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
  return { dialog, told };
}

// Calls `act` once `wait_ms` have passed without another call.
export function calmed(act, wait_ms) {
  let timer = 0;
  return (...given) => {
    clearTimeout(timer);
    timer = setTimeout(() => act(...given), wait_ms);
  };
}
