// The prompt box of AstriaPrompt, AstriaGenerate, AstriaExplain and AstriaCompile: paints, checks and completes what is typed.
import { app } from "../../../scripts/app.js";
import { addActs } from "./editor/acts.js";
import { makeBox } from "./editor/box.js";
import { changed, closed, focused, opened } from "./editor/focused.js";
import { behaveAsTextBox } from "./editor/hosting.js";
import { surroundings } from "./editor/surroundings.js";
import { PromptView } from "./editor/view.js";
import { text } from "./texts.js";

const MARGIN = 10; // that the host leaves around an element in a node
const RUNS = new Set(["AstriaGenerate"]); // what paints a prompt
const MIN_NODE_SIZE = { minWidth: 400, minHeight: 200 }; // those of the stock text box

// Previews and reports that come into a node make it taller and leave the prompt the room that it had.
function keptRoom(node, box) {
  let [kept, isHeld, before, grown] = [0, false, 0, 0];
  const saved = node.onSerialize;
  node.onSerialize = function (into) {
    saved?.apply(this, arguments);
    if (grown) into.size = [into.size[0], into.size[1] - grown]; // a workflow keeps the size that a person gave
  };
  const look = () => {
    const height = box.root.offsetHeight;
    if (!height) return; // collapsed, or out of sight
    const isTaken = height < kept && node.size[1] >= before;
    before = node.size[1];
    if (!isTaken) return void (kept = height);
    isHeld = true;
    if (globalThis.LiteGraph?.vueNodesMode) box.root.style.minHeight = `${kept}px`; // there the widget's own getMinHeight does not count
    requestAnimationFrame(() => {
      const height = node.size[1];
      node.setSize([node.size[0], Math.max(height, node.computeSize()[1])]);
      grown += node.size[1] - height;
      node.graph?.setDirtyCanvas(true, true);
    });
  };
  new ResizeObserver(look).observe(box.root);
  return { least: () => (isHeld ? kept + 2 * MARGIN : box.minHeight) };
}

function promptWidget(node, name, data) {
  const options = data[1] ?? {};
  const box = makeBox();
  let value = options.default ?? "";
  let editor = null;
  const hand = { node, text: () => String(value ?? ""), insert: (tag, point) => editor?.insert(tag, point), isLinked: () => box.root.inert };

  const look = RUNS.has(node.comfyClass) ? addActs(node, box, hand.text) : () => {};
  const room = keptRoom(node, box);
  const widget = node.addDOMWidget(name, "ASTRIA_PROMPT", box.root, {
    selectOn: ["focusin", "click"],
    hideOnZoom: false, // a template opens as small as fits, and its prompt is what it is about
    getMinHeight: () => room.least(),
    // The text as it was given, to the letter: an editor has no carriage returns, a workflow file may.
    getValue: () => value,
    setValue(given) {
      value = given;
      editor?.show(String(given ?? ""));
      changed(hand);
      look();
    },
  });

  const open = () => {
    opened(hand);
    editor ??= new PromptView(box.place, {
      text: String(value ?? ""),
      hint: options.placeholder || text("editor.placeholder"),
      spellcheck: app.extensionManager?.setting.get("Comfy.TextareaWidget.Spellcheck") ?? false,
      described: box.status.id,
      edited(text) {
        value = text;
        widget.callback?.(value);
        changed(hand);
        look();
      },
      tell: box.tell,
      around: () => surroundings(node),
    });
  };
  const close = () => {
    editor?.destroy();
    editor = null;
    closed(hand);
  };
  const linked = () => {
    editor?.check();
    changed(hand);
    look();
  };
  box.whenAsked(() => editor?.goToProblem());
  box.root.addEventListener("focusin", () => focused(hand));
  const after = (name, act) => {
    const before = node[name];
    node[name] = function (...given) {
      before?.apply(this, given);
      act();
    };
  };
  after("onSelected", () => focused(hand));
  after("onExecuted", () => changed(hand)); // a run tells of what family the model is
  behaveAsTextBox(node, widget, box.root, { view: () => editor?.view, open, close, linked, insert: hand.insert });
  open();
  return { widget, ...MIN_NODE_SIZE };
}

app.registerExtension({
  name: "astria.prompt_editor",
  getCustomWidgets: () => ({ ASTRIA_PROMPT: promptWidget }),
});
