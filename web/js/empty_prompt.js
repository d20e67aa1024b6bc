// A run with an empty prompt asks first: it would paint a whole picture of nothing in particular.
import { app } from "../../../scripts/app.js";
import { isLinked, widgetValue } from "./editor/surroundings.js";
import { text } from "./texts.js";

const ALWAYS = 0; // the mode of a node that is neither muted nor bypassed

function emptyNodes() {
  const isEmpty = (node) => node.comfyClass === "AstriaGenerate" && node.mode === ALWAYS && !isLinked(node, "text") && !isLinked(node, "request") && !String(widgetValue(node, "text") ?? "").trim();
  // With a picture of its own a prompt may do without words.
  return (app.graph?.nodes ?? []).filter((node) => isEmpty(node) && !isLinked(node, "image"));
}

async function isWanted() {
  const [node] = emptyNodes();
  if (!node) return true;
  const message = text("empty.message", { title: node.title });
  return (await app.extensionManager.dialog.confirm({ title: text("empty.title"), message })) === true;
}

app.registerExtension({
  name: "astria.empty_prompt",
  setup() {
    const queue = app.queuePrompt;
    app.queuePrompt = async function (...given) {
      return (await isWanted()) ? queue.apply(this, given) : false;
    };
  },
});
