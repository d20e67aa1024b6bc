// The tab of bindings: which files the ids and roles of prompts stand for, and which of those are missing.
import { takeWanted } from "./asking.js";
import { openBinding } from "./bind_dialog.js";
import { button, h, messages, openDialog } from "./dom.js";
import { listBindings, unbind } from "./server.js";
import { tagButton } from "./tags.js";

const GROUPS = { tunes: "Tunes and LoRA names", roles: "Roles", bases: "Base tunes" };

export function bindingsTab() {
  const told = messages();
  const search = h("input", { type: "search", placeholder: "Search bindings", "aria-label": "Search bindings by id, role or file" });
  const place = h("div", { class: "astria-groups" });
  let overview = null;

  async function load() {
    try {
      overview = await listBindings();
      draw();
      const key = takeWanted();
      if (key) ask(key);
    } catch (error) {
      place.replaceChildren();
      told.fail(error);
    }
  }
  // Asked for from outside: the row of the key where it is bound, else a new binding of it.
  function ask(key) {
    const row = overview.rows.find((one) => one.key === key);
    openBinding(overview, row ? { row } : { key }, changed);
  }
  function draw() {
    const words = search.value.toLowerCase().split(/\s+/);
    const fits = (one) => words.every((word) => `${one.name ?? one.key} ${one.about} ${one.file ?? ""} ${one.problem ? "missing" : ""}`.toLowerCase().includes(word));
    const rows = overview.rows.filter(fits);
    const groups = Object.entries(GROUPS).map(([group, title]) => section(title, rows.filter((row) => row.group === group)));
    const bound = new Set(overview.rows.map((row) => row.key.split(".").pop()));
    const free = overview.roles.filter((role) => !bound.has(role.key) && fits(role));
    const nothing = !rows.length && h("p", { class: "astria-empty" }, overview.rows.length ? "No binding fits." : h("strong", {}, "Nothing is bound yet"), !overview.rows.length && h("span", {}, "Prompts name models by ids that only their maker knows. Bind an id to a file of yours."));
    place.replaceChildren(...[nothing, ...groups, freeRoles(free), h("p", { class: "astria-quiet astria-path" }, `File: ${overview.file}`)].filter(Boolean));
  }
  function section(title, rows) {
    if (!rows.length) return null;
    const missing = rows.filter((row) => row.problem).length;
    const head = h("h3", {}, title, h("span", { class: "astria-quiet" }, missing ? `${rows.length}, ${missing} missing` : `${rows.length}`));
    return h("section", {}, head, h("ul", { class: "astria-list" }, ...rows.map(item)));
  }
  function item(row) {
    const problem = row.problem && h("details", { class: "astria-problem" }, h("summary", {}, h("b", {}, "Missing. "), row.hint), row.problem);
    const tag = row.group === "tunes" && h("div", { class: "astria-tags" }, tagButton(`<lora:${row.name}:1.0>`, told));
    const words = h("div", { class: "astria-words" }, h("strong", {}, row.name), h("span", { class: "astria-file", title: row.file }, row.file), row.about && h("span", { class: "astria-quiet" }, row.about), problem, tag);
    const change = button("", () => openBinding(overview, { row }, changed), { class: "astria-icon pi pi-pencil", "aria-label": `Change ${row.name}`, title: "Choose another file" });
    const remove = button("", () => confirmRemoval(row), { class: "astria-icon pi pi-trash", "aria-label": `Remove ${row.name}`, title: "Remove" });
    return h("li", { class: `astria-card ${row.problem ? "astria-missing" : ""}` }, words, change, remove);
  }
  function freeRoles(roles) {
    if (!roles.length) return null;
    const rows = roles.map(({ key, about }) => {
      const choose = button("Bind", () => openBinding(overview, { key }, changed), { "aria-label": `Bind ${key}` });
      return h("li", { class: "astria-card" }, h("div", { class: "astria-words" }, h("strong", {}, key), h("span", { class: "astria-quiet" }, about)), choose);
    });
    return h("details", { open: Boolean(search.value.trim()) }, h("summary", {}, `Roles without a file (${roles.length})`), h("ul", { class: "astria-list" }, ...rows));
  }
  function changed(now, key) {
    overview = now;
    draw();
    const row = now.rows.find((one) => one.key === key);
    told.say(row ? `${row.name} stands for ${row.file}.` : `${key} is removed.`);
  }
  function confirmRemoval(row) {
    const content = [h("p", {}, `${row.name} will stand for nothing. The file ${row.file} stays where it is.`)];
    openDialog({ title: `Remove ${row.name}?`, content, action: "Remove", cancel: "Keep it", isGrave: true, act: async () => changed(await unbind(row.key), row.key) });
  }

  async function bindNew() {
    if (!overview) await load();
    if (overview) openBinding(overview, {}, changed);
  }
  const create = button("Bind a file", bindNew, { class: "astria-button astria-main" });
  const root = h("div", { class: "astria-tab" }, h("div", { class: "astria-bar" }, search, create), told.root, place);
  search.addEventListener("input", () => overview && draw());
  return { root, open: load, close: () => {} };
}
