// Pictures in nodes: where the source stands on the outpainted canvas, and where people stand.
import { app } from "../../../scripts/app.js";
import { addPicker } from "./previews/outpaint.js";
import { NAME, widgetOf } from "./previews/picture.js";
import { addRegions } from "./previews/regions.js";

app.registerExtension({
  name: "astria.previews",
  nodeCreated(node) {
    if (node.comfyClass === "AstriaOutpaintCanvas") addPicker(node);
    if (node.comfyClass === "AstriaRegions") addRegions(node);
  },
  onNodeOutputsUpdated() {
    for (const node of app.graph?.nodes ?? []) widgetOf(node, NAME)?.redraw?.();
  },
});
