// Buttons below the prompt of Astria Generate: what it masks, shown in the node, and its request as nodes in a tab of their own.
import { api } from "../../../../scripts/api.js";
import { app } from "../../../../scripts/app.js";
import { queued } from "../queueing.js";
import { text as worded } from "../texts.js";
import { expectMask, openDrawing } from "./drawing.js";
import { asNodes, mask } from "./server.js";
import { isLinked, surroundings } from "./surroundings.js";

const PEOPLE = /\bBREAK\b[^]*\bBREAK\b/;

// Whether a prompt has a mask, and whether it may repaint a part of a picture.
const isMasked = (node, prompt) => prompt.includes("--mask_prompt") || isLinked(node, "mask");
const maySelect = (node, prompt) => isMasked(node, prompt) || (isLinked(node, "image") && PEOPLE.test(prompt));

// What the server is told: the graph as the editor would queue it, and the node's id there.
async function asked(node, prompt) {
  const { output, workflow, id } = await queued(node);
  return { body: { text: prompt, prompt: output, node: id, ...surroundings(node) }, id, workflow };
}

// Runs what the mask needs and no more. In its own place the node is one that shows the picture, so that the editor shows it there.
async function showMask(node, prompt, told) {
  const { body, id, workflow } = await asked(node, prompt);
  const { nodes, output, mask: found } = await mask(body);
  expectMask(node, found, told);
  await api.queuePrompt(0, { output: { ...nodes, [id]: { class_type: "PreviewImage", inputs: { images: output } } }, workflow });
}

async function draw(node, prompt) {
  openDrawing(node, (told) => showMask(node, prompt, told));
}

async function openAsNodes(node, prompt) {
  const { workflow } = await asNodes((await asked(node, prompt)).body);
  await app.loadGraphData(workflow, true, true, worded("acts.tab", { title: node.title }));
}

const reasonOf = (error) => error.response?.error?.message ?? error.message;

// Adds the row to a prompt's box; `prompt()` is its text. Returns what looks again at which buttons there are.
export function addActs(node, box, prompt) {
  const row = Object.assign(document.createElement("div"), { className: "astria-prompt-acts" });
  const addButton = (key, act) => {
    const button = Object.assign(document.createElement("button"), { type: "button", textContent: worded(`acts.${key}`), title: worded(`acts.${key}_hint`) });
    button.addEventListener("click", async () => {
      button.disabled = true;
      try {
        await act(node, prompt());
      } catch (error) {
        app.extensionManager.toast.add({ severity: "error", summary: node.title, detail: reasonOf(error) });
      } finally {
        button.disabled = false;
      }
    });
    row.append(button);
    return button;
  };
  const forMask = addButton("mask", showMask);
  const forDrawing = addButton("draw", draw);
  addButton("nodes", openAsNodes);
  box.root.append(row);
  const look = () => {
    const isShort = !prompt().trim();
    row.hidden = isShort;
    forMask.hidden = isShort || !maySelect(node, prompt());
    forDrawing.hidden = isShort || !isMasked(node, prompt());
  };
  look();
  return look;
}
