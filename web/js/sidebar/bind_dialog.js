// What an id, a name or a role stands for: chosen from the files that ComfyUI lists for it.
import { text } from "../texts.js";
import { calmed, field, h, openDialog } from "./dom.js";
import { bind, listChoices } from "./server.js";

const CALM_MS = 200;
const WHAT = ["tune", "role", "base", "default"];
const ANY_TUNE = "0"; // every id and name has the same choices

const option = (value, label = value, attributes = {}) => h("option", { value, ...attributes }, label);

// The file list with a box that narrows it. `ask(key)` fills it.
function filePicker(told) {
  const filter = h("input", { type: "search", placeholder: text("bind.narrow"), "aria-label": text("bind.narrow_label") });
  const files = h("select", { size: 8, "aria-label": text("bind.file"), class: "astria-files" });
  const place = h("p", { class: "astria-quiet" });
  let [names, key] = [[], ""];
  function draw(chosen = files.value) {
    const words = filter.value.toLowerCase().split(/\s+/);
    const fitting = names.filter((name) => words.every((word) => name.toLowerCase().includes(word)));
    files.replaceChildren(...fitting.map((name) => option(name, name, { title: name })));
    files.value = fitting.length === 1 ? fitting[0] : chosen;
  }
  async function ask(wanted, chosen = "") {
    if (wanted === key) return;
    key = wanted;
    try {
      const found = await listChoices(wanted);
      if (wanted !== key) return;
      names = found.choices;
      draw(chosen || files.value);
      const folders = found.folders.join(", ");
      place.textContent = names.length ? folders && text("bind.files_of", { folders }) : folders ? text("bind.no_file", { folders }) : text("bind.nothing");
    } catch (error) {
      told().fail(error);
    }
  }
  filter.addEventListener("input", () => draw());
  return { root: h("div", { class: "astria-field" }, h("span", { class: "astria-label" }, text("bind.file")), filter, files, place), ask, chosen: () => files.value };
}

// The fields that name a key, for a new binding.
function keyPicker({ roles, bases, fields, families }, asked) {
  const what = h("select", { autofocus: true }, ...WHAT.map((kind) => option(kind, text(`bind.${kind}`))));
  const id = h("input", { type: "text", placeholder: "1533312" });
  const role = h("select", {}, ...roles.map(({ key, about }) => option(key, `${key}: ${about}`)));
  const family = h("select", {}, option("", text("bind.every_family")), ...families.map((name) => option(name)));
  const base = h("input", { type: "text", list: "astria-bases", placeholder: bases[0]?.id });
  const known = h("datalist", { id: "astria-bases" }, ...bases.map((one) => option(one.id, one.title)));
  const part = h("select", {}, ...fields.map((name) => option(name)));
  part.value = "checkpoint";
  const groups = {
    tune: [field(text("bind.id_or_name"), id, text("bind.id_or_name_hint"))],
    role: [field(text("bind.role_field"), role), field(text("bind.for"), family)],
    base: [field(text("bind.id"), base, bases.map((one) => `${one.id} ${one.title}`.trim()).join(", ")), known, field(text("bind.part"), part)],
    default: [],
  };
  const place = h("div", { class: "astria-fields" });
  const draw = () => {
    place.replaceChildren(...groups[what.value]);
    asked();
  };
  what.addEventListener("change", draw);
  for (const input of [id, base]) input.addEventListener("input", calmed(asked, CALM_MS));
  for (const input of [role, family, part]) input.addEventListener("change", () => asked());
  // The key as `bind` takes it, empty while it is not complete; a tune's choices do not depend on its id.
  const key = () => ({
    tune: /^\d+$/.test(id.value.trim()) && !bases.some((one) => one.id === id.value.trim()) ? id.value.trim() : id.value.trim() && `tunes.${id.value.trim()}`,
    role: [family.value, role.value].filter(Boolean).join("."),
    base: base.value.trim() && `base.${base.value.trim()}.${part.value}`,
    default: "defaults.base",
  })[what.value];
  return {
    root: h("div", { class: "astria-fields" }, field(text("bind.what"), what), place),
    key,
    listKey: () => (what.value === "tune" ? ANY_TUNE : key() || `base.0.${part.value}`),
    choose(kind) {
      what.value = kind;
      draw();
    },
    // Fills in the fields of a key as `bind` takes it.
    fill(wanted) {
      const [first, second, third] = wanted.split(".");
      const name = wanted.split(".").pop();
      what.value = "tune";
      if (wanted === "defaults.base") what.value = "default";
      else if (first === "base") {
        [what.value, base.value] = ["base", second];
        if (fields.includes(third)) part.value = third;
      } else if (first !== "tunes" && roles.some(({ key }) => key === name)) {
        [what.value, role.value] = ["role", name];
        if (families.includes(first)) family.value = first;
      } else id.value = first === "tunes" ? wanted.slice(first.length + 1) : wanted;
      draw();
    },
  };
}

// Opens the dialog for a new binding, of the key `given.key`, or to change the row `given.row`. `done(overview)` is called with what is bound then.
export function openBinding(overview, given, done) {
  let told = null;
  const files = filePicker(() => told);
  const picker = given.row ? null : keyPicker(overview, () => files.ask(picker.listKey()));
  const row = given.row;
  async function act() {
    const key = row ? row.key : picker.key();
    if (!key) throw Object.assign(new Error(text("bind.no_id")), { hint: text("bind.no_id_hint") });
    if (!files.chosen()) throw Object.assign(new Error(text("bind.no_choice")), { hint: text("bind.no_choice_hint") });
    done(await bind(key, files.chosen()), key);
  }
  const about = row ? [h("p", {}, text("bindings.bound", row)), row.problem && h("p", { class: "astria-warning" }, row.problem)] : [picker.root];
  ({ told } = openDialog({ title: text(row ? "bind.change" : "bind.new"), content: [...about, files.root], action: text("bindings.bind"), act }));
  if (row) files.ask(row.key, row.file);
  else if (given.key) picker.fill(given.key);
  else picker.choose("tune");
}
