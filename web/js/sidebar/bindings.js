// The tab of bindings: which files the ids and roles of prompts stand for, and which of those are missing.
import { text } from "../texts.js";
import { takeWanted } from "./asking.js";
import { openBinding } from "./bind_dialog.js";
import { button, h, messages, openDialog } from "./dom.js";
import { listBindings, unbind } from "./server.js";
import { tagButton } from "./tags.js";

const GROUPS = ["tunes", "roles", "bases"];

export function bindingsTab() {
  const told = messages();
  const search = h("input", { type: "search", placeholder: text("bindings.search"), "aria-label": text("bindings.search_label") });
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
    const fits = (one) => words.every((word) => `${one.name ?? one.key} ${one.about} ${one.file ?? ""} ${one.problem ? text("bindings.missing_word") : ""}`.toLowerCase().includes(word));
    const rows = overview.rows.filter(fits);
    const groups = GROUPS.map((group) => section(text(`bindings.${group}`), rows.filter((row) => row.group === group)));
    const bound = new Set(overview.rows.map((row) => row.key.split(".").pop()));
    const free = overview.roles.filter((role) => !bound.has(role.key) && fits(role));
    const nothing = !rows.length && h("p", { class: "astria-empty" }, overview.rows.length ? text("bindings.none_found") : h("strong", {}, text("bindings.none")), !overview.rows.length && h("span", {}, text("bindings.none_hint")));
    place.replaceChildren(...[nothing, ...groups, freeRoles(free), h("p", { class: "astria-quiet astria-path" }, text("bindings.file", { file: overview.file }))].filter(Boolean));
  }
  function section(title, rows) {
    if (!rows.length) return null;
    const missing = rows.filter((row) => row.problem).length;
    const head = h("h3", {}, title, h("span", { class: "astria-quiet" }, missing ? text("bindings.count_missing", { count: rows.length, missing }) : `${rows.length}`));
    return h("section", {}, head, h("ul", { class: "astria-list" }, ...rows.map(item)));
  }
  function item(row) {
    const problem = row.problem && h("details", { class: "astria-problem" }, h("summary", {}, h("b", {}, `${text("bindings.missing")} `), row.hint), row.problem);
    const tag = row.group === "tunes" && h("div", { class: "astria-tags" }, tagButton(`<lora:${row.name}:1.0>`, told));
    const words = h("div", { class: "astria-words" }, h("strong", {}, row.name), h("span", { class: "astria-file", title: row.file }, row.file), row.about && h("span", { class: "astria-quiet" }, row.about), problem, tag);
    const change = button("", () => openBinding(overview, { row }, changed), { class: "astria-icon pi pi-pencil", "aria-label": text("bindings.change", row), title: text("bindings.change_hint") });
    const remove = button("", () => confirmRemoval(row), { class: "astria-icon pi pi-trash", "aria-label": text("bindings.remove_label", row), title: text("bindings.remove") });
    return h("li", { class: `astria-card ${row.problem ? "astria-missing" : ""}` }, words, change, remove);
  }
  function freeRoles(roles) {
    if (!roles.length) return null;
    const rows = roles.map(({ key, about }) => {
      const choose = button(text("bindings.bind"), () => openBinding(overview, { key }, changed), { "aria-label": text("editor.bind", { key }) });
      return h("li", { class: "astria-card" }, h("div", { class: "astria-words" }, h("strong", {}, key), h("span", { class: "astria-quiet" }, about)), choose);
    });
    return h("details", { open: Boolean(search.value.trim()) }, h("summary", {}, text("bindings.free", { count: roles.length })), h("ul", { class: "astria-list" }, ...rows));
  }
  function changed(now, key) {
    overview = now;
    draw();
    const row = now.rows.find((one) => one.key === key);
    told.say(row ? text("bindings.bound", row) : text("bindings.removed", { key }));
  }
  function confirmRemoval(row) {
    const content = [h("p", {}, text("bindings.remove_told", row))];
    openDialog({ title: text("bindings.remove_title", row), content, action: text("bindings.remove"), cancel: text("dialog.keep"), isGrave: true, act: async () => changed(await unbind(row.key), row.key) });
  }

  async function bindNew() {
    if (!overview) await load();
    if (overview) openBinding(overview, {}, changed);
  }
  const create = button(text("bindings.new"), bindNew, { class: "astria-button astria-main" });
  const root = h("div", { class: "astria-tab" }, h("div", { class: "astria-bar" }, search, create), told.root, place);
  search.addEventListener("input", () => overview && draw());
  return { root, open: load, close: () => {} };
}
