// Buttons below a text that asks to bind something, which open the sidebar's dialog with the key filled in, or to install packages.
import { installButton, packagesIn } from "./installing.js";
import { askForBinding, keysIn } from "./sidebar/asking.js";
import { text } from "./texts.js";

const LOOKS = { padding: "2px 8px", border: "0", borderRadius: "4px", font: "11px sans-serif", color: "var(--input-text)", background: "color-mix(in srgb, #4a9eff 35%, transparent)", cursor: "pointer" };

// A place for them, which takes no room while it is empty.
export function bindButtons() {
  const place = document.createElement("div");
  Object.assign(place.style, { flex: "none", display: "none", flexWrap: "wrap", gap: "4px", padding: "4px", background: "var(--comfy-input-bg)" });
  place.className = "astria-bind-buttons";
  return place;
}

export function showBinding(place, told) {
  const buttons = keysIn(told).map((key) => {
    const one = Object.assign(document.createElement("button"), { type: "button", textContent: text("editor.bind", { key }) });
    one.addEventListener("click", () => askForBinding(key));
    return one;
  });
  const packages = packagesIn(told);
  if (packages) buttons.unshift(installButton(packages));
  for (const one of buttons) Object.assign(one.style, LOOKS);
  place.style.display = buttons.length ? "flex" : "none";
  place.replaceChildren(...buttons);
}
