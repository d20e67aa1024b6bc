// The prompt box of AstriaPrompt, AstriaGenerate, AstriaExplain and AstriaCompile: paints, checks and completes what is typed.
import { app } from "../../../scripts/app.js";
import { makeBox } from "./editor/box.js";
import { changed, closed, focused, opened } from "./editor/focused.js";
import { behaveAsTextBox } from "./editor/hosting.js";
import { PromptView } from "./editor/view.js";

const MIN_NODE_SIZE = { minWidth: 400, minHeight: 200 }; // those of the stock text box

function promptWidget(node, name, data) {
  const options = data[1] ?? {};
  const box = makeBox();
  let value = options.default ?? "";
  let editor = null;
  const hand = { node, text: () => String(value ?? ""), insert: (text) => editor?.insert(text), isLinked: () => box.root.inert };

  const widget = node.addDOMWidget(name, "ASTRIA_PROMPT", box.root, {
    selectOn: ["focusin", "click"],
    getMinHeight: () => box.minHeight,
    // The text as it was given, to the letter: an editor has no carriage returns, a workflow file may.
    getValue: () => value,
    setValue(given) {
      value = given;
      editor?.show(String(given ?? ""));
      changed(hand);
    },
  });

  const open = () => {
    opened(hand);
    editor ??= new PromptView(box.place, {
      text: String(value ?? ""),
      hint: options.placeholder || "Paste a prompt: text, <lora:id:1.0>, --flags, BREAK, key=value",
      spellcheck: app.extensionManager?.setting.get("Comfy.TextareaWidget.Spellcheck") ?? false,
      described: box.status.id,
      edited(text) {
        value = text;
        widget.callback?.(value);
        changed(hand);
      },
      tell: box.tell,
    });
  };
  const close = () => {
    editor?.destroy();
    editor = null;
    closed(hand);
  };
  box.whenAsked(() => editor?.goToProblem());
  box.root.addEventListener("focusin", () => focused(hand));
  behaveAsTextBox(node, widget, box.root, { view: () => editor?.view, open, close, linked: () => changed(hand) });
  open();
  return { widget, ...MIN_NODE_SIZE };
}

app.registerExtension({
  name: "astria.prompt_editor",
  getCustomWidgets: () => ({ ASTRIA_PROMPT: promptWidget }),
});
