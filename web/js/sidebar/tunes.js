// The tab of tunes: what the pack keeps, newest first; made from photos, deleted, written into the prompt.
import { api } from "../../../../scripts/api.js";
import { counted, text } from "../texts.js";
import { button, calmed, h, messages, openDialog } from "./dom.js";
import { deleteTune, listTunes } from "./server.js";
import { tagButton } from "./tags.js";
import { trainingLine } from "./training.js";
import { newTune, takesFiles } from "./tune_dialog.js";

const CALM_MS = 250;
const WATCH_MS = 2000; // while a tune of the page is trained
const KINDS = new Set(["lora", "checkpoint"]);

function portrait({ photo }) {
  const nobody = () => h("span", { class: "astria-portrait pi pi-user", "aria-hidden": "true" });
  if (!photo) return nobody();
  const picture = h("img", { class: "astria-portrait", src: api.apiURL(photo), alt: "", loading: "lazy" });
  picture.addEventListener("error", () => picture.replaceWith(nobody()));
  return picture;
}

function aboutLine(tune) {
  const photos = tune.photos && counted("tunes.photos", tune.photos);
  const kind = tune.kind === "faceid" ? "" : KINDS.has(tune.kind) ? text(`tunes.${tune.kind}`) : tune.kind;
  return [tune.id, kind, photos, [tune.token, tune.name].filter(Boolean).join(" ")].filter(Boolean).join(" · ");
}

export function tunesTab() {
  const told = messages();
  const search = h("input", { type: "search", placeholder: text("tunes.search"), "aria-label": text("tunes.search_label") });
  const list = h("ul", { class: "astria-list", "aria-label": text("tunes.title") });
  const pages = h("div", { class: "astria-pages" });
  let [offset, check, offer, asked, shown, watch] = [0, "", null, 0, "", 0];
  let [isOpen, isTraining, isLost] = [false, false, false];
  let trained = new Map(); // id of a tune -> the line about its training

  async function load(from = offset) {
    const number = ++asked;
    try {
      const found = await listTunes(search.value, from);
      if (number !== asked) return;
      [offset, check, offer] = [from, found.check, found.training];
      if (from && !found.tunes.length) return void load(Math.max(0, from - found.page));
      // The same list stays as it is, and with it the focus on one of its buttons.
      const now = JSON.stringify([search.value.trim(), found.tunes.map((tune) => ({ ...tune, training: tune.training?.state }))]);
      if (now !== shown) {
        trained = new Map();
        list.replaceChildren(...(found.tunes.length ? found.tunes.map(item) : [h("li", { class: "astria-empty" }, ...emptyText())]));
      }
      shown = now;
      for (const { id, training } of found.tunes) trained.get(id)?.draw(training);
      drawPages(found);
      isTraining = found.tunes.some(({ training }) => training?.can_stop);
      if (isLost) told.clear();
      isLost = false;
    } catch (error) {
      if (number !== asked) return;
      if (!isLost) told.fail(error);
      isLost = isTraining; // ComfyUI may be starting again, and goes on with it
    }
    clearTimeout(watch);
    if (isOpen && isTraining) watch = setTimeout(load, WATCH_MS);
  }
  function emptyText() {
    if (search.value.trim()) return [text("tunes.none_found", { words: search.value.trim() })];
    return [h("strong", {}, text("tunes.none")), h("span", {}, text("tunes.none_hint"))];
  }
  function drawPages({ total, page }) {
    const last = Math.min(offset + page, total);
    const turn = (label, to, isThere) => button(label, () => load(to), { disabled: !isThere });
    pages.hidden = total <= page;
    pages.replaceChildren(turn(text("tunes.newer"), Math.max(0, offset - page), offset > 0), h("span", {}, text("tunes.range", { first: offset + 1, last, total })), turn(text("tunes.older"), offset + page, last < total));
  }
  function item(tune) {
    const tags = tune.tags.map((tag) => tagButton(tag, told));
    const remove = button("", () => confirmDeletion(tune), { class: "astria-icon pi pi-trash", "aria-label": text("tunes.delete_label", { title: tune.title }), title: text("tunes.delete") });
    const words = h("div", { class: "astria-words" }, h("strong", { title: tune.title }, tune.title), h("span", { class: "astria-quiet", title: tune.file }, aboutLine(tune)), trainingOf(tune), h("div", { class: "astria-tags" }, ...tags));
    return h("li", { class: "astria-card" }, portrait(tune), words, remove);
  }
  function trainingOf(tune) {
    if (!tune.training) return null;
    const line = trainingLine(tune, async () => {
      shown = "";
      await load();
    }, told);
    trained.set(tune.id, line);
    return line.root;
  }
  function confirmDeletion(tune) {
    const photos = tune.photos && counted("tunes.photos_go", tune.photos);
    const ends = tune.training?.can_stop && text("tunes.training_ends");
    const goes = [ends, photos, text("tunes.missed", { id: tune.id })].filter(Boolean).join(" ");
    const prompts = tune.goes_with_it.prompts && h("p", {}, text("tunes.prompts_end"));
    const file = tune.file && h("p", {}, text(tune.goes_with_it.file ? "tunes.file_goes" : "tunes.file_stays", { file: tune.file }));
    const act = async () => {
      const { text: done } = await deleteTune(tune);
      await load();
      told.say(done);
    };
    openDialog({ title: text("tunes.delete_title", { title: tune.title }), content: [h("p", {}, goes), prompts, file], action: text("tunes.delete"), cancel: text("dialog.keep"), isGrave: true, act });
  }
  async function create(photos) {
    const made = async ({ tune, is_new, notes }) => {
      search.value = "";
      await load(0);
      if (is_new && tune.training) return told.say(counted("tunes.trained", tune.photos, tune), ...notes);
      told.say(is_new ? counted("tunes.stored", tune.photos, tune) : text("tunes.known", tune), ...notes);
    };
    if (!offer) await load();
    if (offer) newTune({ photos, check, training: offer, made });
  }

  const bar = h("div", { class: "astria-bar" }, search, button(text("new_tune.title"), () => create([]), { class: "astria-button astria-main" }));
  const root = h("div", { class: "astria-tab" }, bar, told.root, list, pages);
  search.addEventListener("input", calmed(() => load(0), CALM_MS));
  takesFiles(root, create);
  const open = () => {
    isOpen = true;
    return load();
  };
  const close = () => {
    isOpen = false;
    clearTimeout(watch);
  };
  return { root, open, close };
}
