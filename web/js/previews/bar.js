// A row of buttons below a picture in a node.
import { text } from "../texts.js";

const HEIGHT_PX = 28;
export const LOOKS = { height: "22px", border: "0", borderRadius: "4px", font: "12px sans-serif", color: "var(--input-text)", background: "color-mix(in srgb, currentColor 14%, transparent)" };

// `acts` are { name: { sign, act, isOn } }; their words are the texts "regions.NAME", or `key`. `isOn()` says whether a tool is chosen.
export function makeBar(acts) {
  const root = document.createElement("div");
  Object.assign(root.style, { position: "absolute", inset: "auto 0 0 0", height: `${HEIGHT_PX}px`, display: "flex", gap: "4px", alignItems: "center", background: "var(--comfy-input-bg)" });
  const looks = [];
  for (const [name, { sign, act, isOn, key }] of Object.entries(acts)) {
    const label = key ? text(key) : text(`regions.${name}`);
    const one = Object.assign(document.createElement("button"), { type: "button", textContent: sign, title: label });
    one.setAttribute("aria-label", label);
    Object.assign(one.style, LOOKS, { minWidth: "24px", padding: "0 5px", cursor: "pointer", whiteSpace: "nowrap" });
    one.addEventListener("click", act);
    if (isOn) {
      looks.push(() => {
        one.setAttribute("aria-pressed", String(isOn()));
        one.style.boxShadow = isOn() ? "inset 0 0 0 2px #4a9eff" : "";
      });
    }
    root.append(one);
  }
  for (const kind of ["pointerdown", "keydown", "keyup", "copy", "cut", "paste"]) root.addEventListener(kind, (event) => event.stopPropagation());
  const below = ({ canvas, box }) => {
    canvas.style.height = `calc(100% - ${HEIGHT_PX}px)`;
    box.append(root);
  };
  return { root, below, look: () => looks.forEach((look) => look()) };
}

export const brushButtons = (brush) => ({
  brush: { sign: "✎", act: () => brush.use("brush"), isOn: () => brush.tool === "brush", key: "brush.brush" },
  eraser: { sign: "⌫", act: () => brush.use("eraser"), isOn: () => brush.tool === "eraser", key: "brush.eraser" },
});
