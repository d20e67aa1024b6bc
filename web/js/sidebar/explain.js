// The tab that explains the prompt in hand while it is written: what would be done, with which settings and files.
import { promptInHand, whenPromptChanges } from "../editor/focused.js";
import { surroundings, widgetValue, writer } from "../editor/surroundings.js";
import { text } from "../texts.js";
import { calmed, field, h, messages } from "./dom.js";
import { explain, listModels } from "./server.js";

const CALM_MS = 400;
const isCaret = (line) => /^\s*\^+$/.test(line ?? "");

function kindOf(line, cells) {
  if (!line.startsWith(" ")) return "astria-heading";
  if (cells.length >= 3) return "astria-row";
  if (/^\s*(MISSING|error)/.test(line)) return "astria-problem";
  return line.startsWith("      ") ? "astria-hint-line" : "astria-line";
}

// A line of the prompt and the caret under it, in a box of its own that shows the caret.
function quoted(line, caret) {
  const box = h("pre", { class: "astria-quoted-line" }, `${line}\n${caret}`);
  requestAnimationFrame(() => {
    box.scrollLeft = (caret.indexOf("^") / Math.max(line.length, caret.length)) * box.scrollWidth - box.clientWidth / 3;
  });
  return box;
}

// A report is made of headings, of lines whose columns stand two or more blanks apart, and of errors with the line they are about.
function drawn(report) {
  const lines = report.split("\n");
  const made = [];
  let isError = false; // its hint stands at the line's beginning, too
  for (let at = 0; at < lines.length; at++) {
    const line = lines[at];
    if (isCaret(lines[at + 1])) {
      made.push(quoted(line, lines[++at]));
    } else if (line.trim()) {
      isError = /^line \d+, column \d+: /.test(line) || (isError && isCaret(lines[at - 1]));
      const cells = line.trim().split(/ {2,}/);
      const kind = !isError ? kindOf(line, cells) : isCaret(lines[at - 1]) ? "astria-hint-line" : "astria-problem";
      made.push(h("div", { class: kind }, ...(cells.length > 1 ? cells.map((cell) => h("span", {}, cell)) : [line.trim()])));
    }
  }
  return made;
}

export function explainTab() {
  const told = messages();
  const models = h("select", {});
  const which = h("p", { class: "astria-quiet" });
  const state = h("p", { class: "astria-state", role: "status" });
  const report = h("div", { class: "astria-report", tabindex: "0", role: "region", "aria-label": text("explain.plan") });
  let [asked, stop] = [0, () => {}];

  async function loadModels() {
    const { families, bases, default: chosen } = await listModels();
    const before = models.value;
    const own = bases.map(({ id, title, family }) => h("option", { value: `base:${id}` }, `${id} ${title || family}${id === chosen ? ` ${text("explain.default")}` : ""}`));
    const connected = families.map(({ name, title }) => h("option", { value: `family:${name}` }, title));
    models.replaceChildren(h("option", { value: "" }, text("explain.as_connected")), h("optgroup", { label: text("explain.bases") }, ...own), h("optgroup", { label: text("explain.families") }, ...connected));
    models.value = before;
    if (models.selectedIndex < 0) models.selectedIndex = 0;
  }
  function clear(about) {
    asked++;
    which.textContent = about;
    state.textContent = "";
    report.replaceChildren();
  }
  async function draw() {
    const editor = promptInHand();
    if (!editor) return clear(text("explain.no_prompt"));
    const source = writer(editor.node);
    const prompt = source === editor.node ? editor.text() : String(widgetValue(source, "text") ?? "");
    if (editor.isLinked()) return clear(text("explain.linked", editor.node));
    if (!prompt.trim()) return clear(text("explain.empty", source));
    const number = ++asked;
    try {
      const found = await explain({ text: prompt, ...surroundings(editor.node, models.value) });
      if (number !== asked) return;
      told.clear();
      which.textContent = text("explain.which", source);
      const [says, kind] = found.runs === null ? ["", ""] : found.runs ? [text("explain.runs"), "astria-good"] : [text("explain.not_yet"), "astria-bad"];
      state.textContent = says;
      state.className = `astria-state ${kind}`;
      report.replaceChildren(...drawn(found.report));
    } catch (error) {
      if (number !== asked) return;
      clear("");
      told.fail(error);
    }
  }
  models.addEventListener("change", draw);
  const soon = calmed(draw, CALM_MS);
  const root = h("div", { class: "astria-tab" }, field(text("explain.models"), models), told.root, which, state, report);
  return {
    root,
    async open() {
      stop();
      stop = whenPromptChanges(soon);
      await loadModels().catch(told.fail);
      await draw();
    },
    close: () => stop(),
  };
}
