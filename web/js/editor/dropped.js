// A LoRA file that is dropped on a prompt becomes its tag; other files are the host's.
import { app } from "../../../../scripts/app.js";
import { namedLora } from "../sidebar/server.js";
import { text } from "../texts.js";

const MODEL = /\.(safetensors|pt|pth|ckpt|bin)$/i;

export const areLoras = (files) => files.length > 0 && [...files].every((file) => MODEL.test(file.name));

// Only the names count: the files stay where they are, and those that ComfyUI lists are written.
export async function writeLoras(files, insert) {
  for (const { name } of files) {
    const toast = { severity: "warn", summary: name, life: 10_000 };
    try {
      const { tag } = await namedLora(name);
      if (tag) insert(tag);
      else app.extensionManager.toast.add({ ...toast, detail: text("loras.not_listed", { name }) });
    } catch (error) {
      app.extensionManager.toast.add({ ...toast, severity: "error", detail: error.message });
    }
  }
}
