// The sidebar tab "Astria": tunes, bindings, the plan of the prompt in hand, and the fleet where there is one.
import { app } from "../../../scripts/app.js";
import { isWanted, whenAsked } from "./sidebar/asking.js";
import { bindingsTab } from "./sidebar/bindings.js";
import { h, newId } from "./sidebar/dom.js";
import { explainTab } from "./sidebar/explain.js";
import { fleetTab } from "./sidebar/fleet.js";
import { lorasTab } from "./sidebar/loras.js";
import { addStyle } from "./sidebar/style.js";
import { tunesTab } from "./sidebar/tunes.js";
import { text } from "./texts.js";

const TABS = [["tunes.title", tunesTab], ["bindings.title", bindingsTab], ["loras.title", lorasTab], ["explain.title", explainTab], ["fleet.title", fleetTab]];
const BINDINGS = 1;
const STEPS = { ArrowLeft: -1, ArrowRight: 1 };

let chosen = 0; // the tab that was open when the sidebar was closed
let close = () => {};

function makePanel(place) {
  const pages = TABS.map(([key, make]) => ({ title: text(key), ...make(), id: newId("tab") }));
  const labels = pages.map(({ title, root, id }, number) => {
    root.id = `${id}-page`;
    root.setAttribute("role", "tabpanel");
    root.setAttribute("aria-labelledby", id);
    return h("button", { type: "button", role: "tab", id, "aria-controls": root.id, onclick: () => show(number) }, title);
  });
  function show(number) {
    pages[chosen].close();
    chosen = number;
    labels.forEach((label, one) => {
      label.setAttribute("aria-selected", String(one === number));
      label.tabIndex = one === number ? 0 : -1; // arrows go from tab to tab, Tab into the page
      pages[one].root.hidden = one !== number;
    });
    pages[number].open();
  }
  pages.forEach(async ({ isOffered }, number) => {
    if (!isOffered) return;
    labels[number].hidden = number !== chosen;
    labels[number].hidden = !(await isOffered());
  });
  const bar = h("div", { role: "tablist", "aria-label": "Astria", class: "astria-tabs" }, ...labels);
  bar.addEventListener("keydown", (event) => {
    const step = STEPS[event.key];
    if (!step) return;
    event.preventDefault();
    const offered = labels.filter((label) => !label.hidden);
    const at = offered.indexOf(labels[chosen]) + step + offered.length;
    show(labels.indexOf(offered[at % offered.length]));
    labels[chosen].focus();
  });
  place.style.height = "100%"; // the page below the tabs scrolls, and not the whole panel
  place.replaceChildren(h("div", { class: "astria-panel astria-sidebar" }, h("h2", {}, "Astria"), bar, ...pages.map(({ root }) => root)));
  whenAsked(() => show(BINDINGS));
  show(isWanted() ? BINDINGS : chosen);
  return () => pages[chosen].close();
}

app.registerExtension({
  name: "astria.sidebar",
  setup() {
    addStyle();
    app.extensionManager.registerSidebarTab({
      id: "astria",
      icon: "pi pi-users",
      title: "Astria",
      tooltip: text("sidebar.tooltip"),
      type: "custom",
      render(place) {
        close();
        close = makePanel(place);
      },
      destroy() {
        close();
        close = () => {};
      },
    });
  },
});
