// The tab of LoRAs: every file by its picture and trigger words; a click writes its tag with them, and a card can be dragged into a prompt.
import { api } from "../../../../scripts/api.js";
import { TAG } from "../editor/dropped.js";
import { counted, text } from "../texts.js";
import { button, calmed, h, messages } from "./dom.js";
import { listLoras } from "./server.js";
import { insertTag } from "./tags.js";

const CALM_MS = 250;

function picture(row) {
  const none = () => h("span", { class: "astria-lora-picture pi pi-image", "aria-hidden": "true" });
  if (!row.picture) return none();
  const shown = h("img", { class: "astria-lora-picture", src: api.apiURL(row.picture), alt: "", loading: "lazy", draggable: "false" });
  shown.addEventListener("error", () => shown.replaceWith(none()));
  return shown;
}

export function lorasTab() {
  const told = messages();
  const search = h("input", { type: "search", placeholder: text("loras.search"), "aria-label": text("loras.search_label") });
  const list = h("ul", { class: "astria-loras", "aria-label": text("loras.title") });
  const more = h("div", { class: "astria-pages" });
  let asked = 0;

  async function load(from = 0) {
    const number = ++asked;
    try {
      const found = await listLoras(search.value, from);
      if (number !== asked) return;
      const items = found.loras.map(item);
      if (from) list.append(...items);
      else list.replaceChildren(...(items.length ? items : [h("li", { class: "astria-empty" }, text(search.value.trim() ? "loras.none_found" : "loras.none"))]));
      const left = found.total - from - found.loras.length;
      more.replaceChildren(...(left > 0 ? [button(counted("loras.more", left), () => load(from + found.loras.length))] : []));
    } catch (error) {
      if (number === asked) told.fail(error);
    }
  }
  function item(row) {
    const words = row.words ? h("span", { class: "astria-quiet", title: row.words }, row.words) : null;
    const card = h("button", { type: "button", class: "astria-lora", draggable: "true", title: row.file, "aria-label": text("loras.insert", { name: row.name }), onclick: () => insertTag(row.tag, told) }, picture(row), h("strong", {}, row.name), words);
    card.addEventListener("dragstart", (event) => {
      event.dataTransfer.setData("text/plain", row.tag);
      event.dataTransfer.setData(TAG, row.tag);
      event.dataTransfer.effectAllowed = "copy";
    });
    return h("li", {}, card);
  }

  search.addEventListener("input", calmed(() => load(), CALM_MS));
  const root = h("div", { class: "astria-tab" }, h("div", { class: "astria-bar" }, search), told.root, list, more);
  return { root, open: load, close: () => {} };
}
