// A LoRA that is dropped on a prompt becomes its tag there: a file of a file manager, a card of our sidebar, a model of ComfyUI's library.
import { app } from "../../../../scripts/app.js";
import { namedLora } from "../sidebar/server.js";
import { text } from "../texts.js";

const MODEL = /\.(safetensors|pt|pth|ckpt|bin)$/i;
const LIBRARY_LEAF = ".model-lib-tree-explorer .p-tree-node-content";
export const TAG = "application/x-astria-tag"; // what a card of the sidebar carries

let fromLibrary = ""; // FOLDER/NAME of what is dragged out of ComfyUI's model library, which carries nothing that others can read

// The folders and the name as the tree shows them, such as loras/people/anna.
function placeInLibrary(leaf) {
  const names = [];
  for (let item = leaf.closest("[role=treeitem]"); item; item = item.parentElement.closest("[role=treeitem]")) names.unshift(item.getAttribute("aria-label"));
  return names.join("/");
}

document.addEventListener(
  "dragstart",
  ({ target }) => {
    const leaf = target.closest?.(LIBRARY_LEAF);
    fromLibrary = leaf ? placeInLibrary(leaf) : "";
  },
  true,
);
document.addEventListener("dragend", () => (fromLibrary = ""), true);

// What is dropped that may be a LoRA: { tag } or { names }; null for what is none.
function dropped({ types, files, getData }) {
  if (files.length) return [...files].every((file) => MODEL.test(file.name)) ? { names: [...files].map((file) => file.name) } : null;
  if (types.includes(TAG)) return { tag: getData(TAG) };
  return fromLibrary.startsWith("loras/") ? { names: [fromLibrary.slice("loras/".length)] } : null;
}

// Only names count: files stay where they are, and those that ComfyUI lists are written.
async function write({ tag, names = [] }, insert) {
  if (tag) insert(tag);
  for (const name of names) {
    const toast = { severity: "warn", summary: name, life: 10_000 };
    try {
      const found = await namedLora(name);
      if (found.tag) insert(found.tag);
      else app.extensionManager.toast.add({ ...toast, detail: text("loras.not_listed", { name }) });
    } catch (error) {
      app.extensionManager.toast.add({ ...toast, severity: "error", detail: error.message });
    }
  }
}

// Makes a prompt's box take LoRAs, `insert(tag, point)`. Other files are the host's to open.
export function takeDropped(root, insert) {
  root.addEventListener("dragover", (event) => {
    if (fromLibrary.startsWith("loras/")) event.preventDefault(); // else nothing could be dropped
  });
  const drop = (event) => {
    const { dataTransfer: given, clientX, clientY } = event;
    const found = given && dropped({ types: given.types, files: given.files, getData: (kind) => given.getData(kind) });
    if (!found && !given?.files.length) return;
    event.stopPropagation();
    event.preventDefault();
    if (found) write(found, (tag) => insert(tag, { x: clientX, y: clientY }));
    else root.ownerDocument.dispatchEvent(new DragEvent("drop", { dataTransfer: given, clientX, clientY, cancelable: true }));
  };
  root.addEventListener("drop", drop, true);
}
