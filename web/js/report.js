// Shows the text a node reports after a run (diagnostics, plans, bindings) inside the node, read-only and never saved.
import { app } from "../../../scripts/app.js";

const MIN_HEIGHT = 120;
const EXTRA_HEIGHT = 200; // shared with the text box above: a pasted prompt has some 25 lines

const TOAST_MS = 20_000;

const REPORTING = new Set(["AstriaPrompt", "AstriaGenerate", "AstriaModels", "AstriaExplain", "AstriaCompile"]);

function makeBox() {
  const box = document.createElement("textarea");
  box.readOnly = true;
  box.wrap = "off"; // tables and carets stand in columns
  box.placeholder = "The report of the last run appears here.";
  box.setAttribute("aria-label", "Report of the last run");
  Object.assign(box.style, {
    width: "100%",
    height: "100%",
    minHeight: `${MIN_HEIGHT}px`, // with Vue nodes the widget's own getMinHeight does not count
    resize: "none",
    boxSizing: "border-box",
    border: "none",
    padding: "6px",
    fontFamily: "monospace",
    fontSize: "11px",
    background: "var(--comfy-input-bg)",
    color: "var(--input-text)",
  });
  return box;
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
    const box = makeBox();
    const widget = node.addDOMWidget("report", "ASTRIA_REPORT", box, {
      serialize: false,
      hideOnZoom: false,
      getMinHeight: () => MIN_HEIGHT,
      getValue: () => box.value,
      setValue: () => {},
    });
    widget.serialize = false; // keeps it out of widgets_values as well
    // The side panel sets a width on widgets of the selected node and leaves them that narrow; ours always follow the node.
    Object.defineProperty(widget, "width", { get: () => undefined, set: () => {} });
    // Before a saved node gets its own size back.
    const [width, height] = node.computeSize();
    node.setSize([Math.max(width, node.size[0]), height + EXTRA_HEIGHT]);
    const before = node.onExecuted;
    node.onExecuted = function (message) {
      before?.apply(this, arguments);
      if (message?.text) box.value = [].concat(message.text).join("\n");
      // What the nodes that this one expands into have to tell comes after its own report.
      if (message?.astria_notes) box.value = withNotes(box.value, message.astria_notes);
    };
  },
});
