// The elements around an editor: the box that the node shows, and a line below the text that says what is wrong with it.
import { counted, text } from "../texts.js";

const MIN_HEIGHT = 100;
const STYLE_ID = "astria-prompt-style";

// Of light-dark(): the newest frontends say on the page which of both counts, older ones by a class.
const STYLE = `
.astria-prompt { display: flex; flex-direction: column; width: 100%; height: 100%; min-height: ${MIN_HEIGHT}px; box-sizing: border-box; overflow: hidden;
  border-radius: 4px; color: var(--input-text); background: var(--comfy-input-bg); cursor: text; user-select: text; }
.dark-theme :is(.astria-prompt, #astria-prompt-tooltips) { color-scheme: dark; }
.astria-prompt:focus-within { box-shadow: inset 0 0 0 1px color-mix(in srgb, #4a9eff 60%, transparent); }
.astria-prompt[inert] { opacity: 0.5; }
.astria-prompt-text { flex: 1 1 0; min-height: 0; position: relative; }
.astria-prompt-status { flex: none; display: flex; gap: 6px; align-items: baseline; padding: 2px 8px 3px; border: 0; font: inherit; font-size: 11px; line-height: 1.35;
  text-align: left; color: inherit; background: color-mix(in srgb, currentColor 7%, transparent); cursor: pointer; }
.astria-prompt-status:empty { display: none; }
.astria-prompt-status button { flex: none; max-width: 45%; padding: 0 7px; border: 0; border-radius: 4px; font: inherit; color: inherit; background: color-mix(in srgb, #4a9eff 35%, transparent);
  overflow: hidden; text-overflow: ellipsis; white-space: nowrap; cursor: pointer; }
.astria-prompt-acts { flex: none; display: flex; gap: 6px; justify-content: flex-end; padding: 2px 6px; }
.astria-prompt-acts[hidden], .astria-prompt-acts [hidden] { display: none; }
.astria-prompt-acts button { padding: 1px 8px; border: 0; border-radius: 4px; font: inherit; font-size: 11px; color: inherit; background: color-mix(in srgb, currentColor 12%, transparent); cursor: pointer; }
.astria-prompt-status b { flex: none; font-weight: 600; }
.astria-prompt-status span { overflow: hidden; text-overflow: ellipsis; display: -webkit-box; -webkit-line-clamp: 2; -webkit-box-orient: vertical; overflow-wrap: anywhere; }
.astria-prompt-status .error { color: light-dark(#801b16, #ff7b7b); }
.astria-prompt-status .warning { color: light-dark(#5b3b00, #e8b04a); }
.astria-prompt-status .info { color: light-dark(#144471, #7db7ee); }
`;

const SEVERITIES = ["error", "warning", "info"];
let count = 0;

function addStyle() {
  if (!document.getElementById(STYLE_ID)) document.head.append(Object.assign(document.createElement("style"), { id: STYLE_ID, textContent: STYLE }));
}

function element(tag, className, parent) {
  const made = Object.assign(document.createElement(tag), { className });
  parent?.append(made);
  return made;
}

// "2 errors, 1 note"
function summary(diagnostics) {
  return SEVERITIES.map((severity) => [severity, diagnostics.filter((found) => found.severity === severity).length])
    .filter(([, number]) => number)
    .map(([severity, number]) => counted(`editor.${severity}`, number))
    .join(", ");
}

function sentences(message, hint) {
  if (!hint) return message;
  return `${message}${/[.!?]$/.test(message) ? "" : "."} ${hint}`;
}

export function makeBox() {
  addStyle();
  const root = element("div", "astria-prompt");
  root.dataset.captureWheel = "true"; // with Vue nodes: the wheel scrolls the text while it has the focus
  const place = element("div", "astria-prompt-text", root);
  const status = element("div", "astria-prompt-status", root);
  status.id = `astria-prompt-status-${++count}`;
  status.title = text("editor.next");
  status.setAttribute("role", "status"); // read aloud when it changes
  status.setAttribute("aria-live", "polite");

  function tell(diagnostics, trouble) {
    status.replaceChildren();
    const ranked = SEVERITIES.map((severity) => diagnostics.filter((found) => found.severity === severity)).find((found) => found.length) ?? [];
    const worst = ranked.find((found) => found.actions?.length) ?? ranked[0]; // what can be mended at once comes first
    if (trouble) element("span", "warning", status).textContent = trouble;
    if (!worst) return;
    element("b", worst.severity, status).textContent = summary(diagnostics);
    const where = `${text("editor.where", worst)} `;
    element("span", "", status).textContent = where + sentences(worst.message, worst.hint);
    for (const { name, run } of worst.actions ?? []) {
      const act = Object.assign(element("button", "", status), { type: "button", textContent: name, title: name });
      act.addEventListener("click", (event) => {
        event.stopPropagation(); // the line itself leads to the mistake
        run();
      });
    }
  }

  return { root, place, status, tell, minHeight: MIN_HEIGHT, whenAsked: (ask) => status.addEventListener("click", ask) };
}
