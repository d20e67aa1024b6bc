// Shows the text a node reports after a run (diagnostics, plans, bindings) inside the node, read-only and never saved.
import { app } from "../../../scripts/app.js";
import { bindButtons, showBinding } from "./binding_buttons.js";
import { rememberFamily } from "./editor/surroundings.js";
import { text } from "./texts.js";

const HEIGHT = 140; // by which a node grows when it has something to report
const PROMPT_HEIGHT = 200; // of a new node: a pasted prompt has some 25 lines, and scrolls

const TOAST_MS = 20_000;

const REPORTING = new Set(["AstriaPrompt", "AstriaGenerate", "AstriaModels", "AstriaExplain", "AstriaCompile"]);

function makeBox() {
  const box = document.createElement("textarea");
  box.readOnly = true;
  box.wrap = "off"; // tables and carets stand in columns
  box.setAttribute("aria-label", text("report.label"));
  Object.assign(box.style, {
    flex: "1 1 0",
    width: "100%",
    minHeight: "0",
    resize: "none",
    boxSizing: "border-box",
    border: "none",
    padding: "6px",
    fontFamily: "monospace",
    fontSize: "11px",
    background: "var(--comfy-input-bg)",
    color: "var(--input-text)",
  });
  const buttons = bindButtons();
  const root = document.createElement("div");
  Object.assign(root.style, { display: "none", flexDirection: "column", width: "100%", height: "100%", minHeight: "0" });
  root.append(box, buttons);
  return { root, box, buttons };
}

// Vue nodes share free room among all widgets with a layout size of their own, an empty one too: without it a widget is as high as its content.
function withoutShare(widget) {
  const ofClass = widget.computeLayoutSize;
  Object.defineProperty(widget, "computeLayoutSize", { get: () => (globalThis.LiteGraph?.vueNodesMode ? undefined : ofClass) });
}

// Two stages that wear one LoRA tell the same of it.
function withNotes(report, notes) {
  const told = new Set(report.split("\n"));
  const fresh = notes.flatMap((note) => note.split("\n")).filter((line) => !told.has(line));
  return [report, ...fresh].filter(Boolean).join("\n");
}

// A node without a report says in a message of the editor what its author should know.
function warnOf(node) {
  const before = node.onExecuted;
  node.onExecuted = function (message) {
    before?.apply(this, arguments);
    for (const detail of message?.astria_warnings ?? []) {
      app.extensionManager.toast.add({ severity: "warn", summary: node.title, detail, life: TOAST_MS });
    }
  };
}

app.registerExtension({
  name: "astria.report",
  nodeCreated(node) {
    if (!REPORTING.has(node.comfyClass)) {
      if (node.comfyClass?.startsWith("Astria")) warnOf(node);
      return;
    }
    const { root, box, buttons } = makeBox();
    const widget = node.addDOMWidget("report", "ASTRIA_REPORT", root, {
      serialize: false,
      hideOnZoom: false,
      getMinHeight: () => (root.style.display === "none" ? 0 : HEIGHT),
      getMaxHeight: () => (root.style.display === "none" ? 0 : undefined),
      getValue: () => box.value,
      setValue: () => {},
    });
    widget.serialize = false; // keeps it out of widgets_values as well
    // The side panel sets a width on widgets of the selected node and leaves them that narrow; ours always follow the node.
    Object.defineProperty(widget, "width", { get: () => undefined, set: () => {} });
    withoutShare(widget);
    // An empty report takes no room of the prompt's: the node grows when there is something to tell, and shrinks again.
    let grown = 0; // by how much, which is not saved
    const saved = node.onSerialize;
    node.onSerialize = function (into) {
      saved?.apply(this, arguments);
      if (grown) into.size = [into.size[0], into.size[1] - grown];
    };
    widget.tell = (told) => {
      box.value = told;
      showBinding(buttons, told);
      const isShown = root.style.display !== "none";
      if (isShown === Boolean(told)) return;
      const [width, height] = node.size;
      const wanted = height + (told ? HEIGHT : -grown);
      root.style.display = told ? "flex" : "none";
      root.style.minHeight = told ? `${HEIGHT}px` : "0"; // with Vue nodes the widget's own getMinHeight does not count
      node.setSize([width, Math.max(wanted, node.computeSize()[1])]);
      grown = told ? node.size[1] - height : 0;
      app.canvas?.setDirty(true, true);
    };
    widget.told = box;
    // Before a saved node gets its own size back.
    const [width, height] = node.computeSize();
    node.setSize([Math.max(width, node.size[0]), height + PROMPT_HEIGHT]);
    const before = node.onExecuted;
    node.onExecuted = function (message) {
      before?.apply(this, arguments);
      if (message?.astria_family) rememberFamily(node, message.astria_family[0]);
      if (message?.text) widget.tell([].concat(message.text).join("\n"));
      // What the nodes that this one expands into have to tell comes after its own report.
      if (message?.astria_notes) widget.tell(withNotes(box.value, message.astria_notes));
    };
  },
});
