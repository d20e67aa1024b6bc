// A button below a text that asks to install packages: ComfyUI-Manager does it, where it is there and allows it.
import { api } from "../../../scripts/api.js";
import { app } from "../../../scripts/app.js";
import { text } from "./texts.js";

// The Manager's routes, of its newer and its older form. It installs at the next start of ComfyUI.
const ROUTES = ["/v2/customnode/install/pip", "/customnode/install/pip"];
const REFUSED = 403; // the Manager's own security level
const STAYS_MS = 20_000;

// The packages that a text asks for: "Install PIP Packages: insightface>=1.0.1,<3 onnxruntime", as nodes/faces/insight.py says it.
export const packagesIn = (told) => /\bInstall PIP Packages: ([^\n]+)/.exec(told)?.[1].trim() ?? "";

async function askManager(packages) {
  for (const route of ROUTES) {
    const { ok, status } = await api.fetchApi(route, { method: "POST", body: packages });
    if (ok) return "asked";
    if (status === REFUSED) return "refused";
  }
  return "absent";
}

export function installButton(packages) {
  const one = Object.assign(document.createElement("button"), { type: "button", textContent: text("install.button"), title: packages });
  one.addEventListener("click", async () => {
    one.disabled = true;
    const answer = await askManager(packages).catch(() => "absent");
    app.extensionManager.toast.add({ severity: answer === "asked" ? "success" : "warn", summary: packages, detail: text(`install.${answer}`), life: STAYS_MS });
    one.disabled = answer === "asked";
  });
  return one;
}
