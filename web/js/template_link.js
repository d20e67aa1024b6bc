// Opens a template that the page's address names, ?astria_template=NAME or PACK/NAME: the host's own way takes no blanks in a name.
import { api } from "../../../scripts/api.js";
import { app } from "../../../scripts/app.js";
import { text } from "./texts.js";

const KEY = "astria_template";
const PACK = "comfyui_astria";
const LOOK_MS = 100;

// The editor opens what it was left with first, and tells of no end of that. It does so behind the setups of extensions, so none of them may wait for it.
const ready = () =>
  new Promise((resolve) => {
    const timer = setInterval(() => {
      if (!app.extensionManager?.workflow?.activeWorkflow) return;
      clearInterval(timer);
      resolve();
    }, LOOK_MS);
  });

async function openTemplate(wanted) {
  const slash = wanted.indexOf("/");
  const [pack, name] = slash < 0 ? [PACK, wanted] : [wanted.slice(0, slash), wanted.slice(slash + 1)];
  const answer = await api.fetchApi(`/workflow_templates/${encodeURIComponent(pack)}/${encodeURIComponent(name)}.json`);
  if (!answer.ok) throw new Error(text("template.none", { pack, name }));
  await app.loadGraphData(await answer.json(), true, true, name);
}

app.registerExtension({
  name: "astria.template_link",
  setup() {
    const address = new URL(location.href);
    const wanted = address.searchParams.get(KEY);
    if (!wanted) return;
    address.searchParams.delete(KEY);
    history.replaceState(history.state, "", address); // a page that is loaded again keeps what was made of it
    ready()
      .then(() => openTemplate(wanted))
      .catch((error) => app.extensionManager.toast.add({ severity: "error", summary: "Astria", detail: error.message }));
  },
});
