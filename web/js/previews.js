// Pictures in nodes: where the source stands on the outpainted canvas, where people stand, and what is masked.
import { app } from "../../../scripts/app.js";
import { addMask } from "./previews/mask.js";
import { addPicker } from "./previews/outpaint.js";
import { NAME, widgetOf } from "./previews/picture.js";
import { addRegions } from "./previews/regions.js";

const MASKING = new Set(["AstriaPromptMask", "AstriaAdjustMask", "AstriaFindPeople"]);

app.registerExtension({
  name: "astria.previews",
  nodeCreated(node) {
    if (node.comfyClass === "AstriaOutpaintCanvas") addPicker(node);
    if (node.comfyClass === "AstriaRegions") addRegions(node);
    if (MASKING.has(node.comfyClass)) addMask(node);
  },
  onNodeOutputsUpdated() {
    for (const node of app.graph?.nodes ?? []) widgetOf(node, NAME)?.redraw?.();
  },
});
