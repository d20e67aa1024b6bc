// A new tune: photos of one person, dropped or chosen, the words for them, and whether they are trained.
import { counted, text } from "../texts.js";
import { button, field, h, newId, openDialog } from "./dom.js";
import { createTune } from "./server.js";

const KINDS = ["image/jpeg", "image/png", "image/webp"];
const CLASS_NAMES = ["man", "woman", "boy", "girl", "person", "dog", "cat"];

export const picturesOf = (transfer) => [...(transfer?.files ?? [])];
const holdsFiles = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files");

// Makes `place` take files that are dropped on it; the host's page would open them as a workflow.
export function takesFiles(place, take) {
  const over = (event) => {
    if (!holdsFiles(event)) return;
    event.preventDefault();
    event.stopPropagation();
    place.classList.add("astria-over");
  };
  const leave = () => place.classList.remove("astria-over");
  place.addEventListener("dragover", over);
  place.addEventListener("dragenter", over);
  place.addEventListener("dragleave", (event) => place.contains(event.relatedTarget) || leave());
  place.addEventListener("drop", (event) => {
    if (!holdsFiles(event)) return;
    event.preventDefault();
    event.stopPropagation();
    leave();
    take(picturesOf(event.dataTransfer));
  });
}

function photoPicker(refused) {
  let photos = [];
  const shown = h("ul", { class: "astria-photos", "aria-label": text("new_tune.chosen") });
  const input = h("input", { type: "file", multiple: true, accept: KINDS.join(","), class: "astria-hidden", "aria-label": text("new_tune.photos") });
  const zone = h("label", { class: "astria-zone" }, input, h("span", {}, text("new_tune.drop")), h("small", {}, text("new_tune.kinds")));

  function draw() {
    for (const old of shown.querySelectorAll("img")) URL.revokeObjectURL(old.src);
    shown.replaceChildren(
      ...photos.map((photo) => {
        const remove = button("×", () => set(photos.filter((one) => one !== photo)), { class: "astria-remove", "aria-label": text("new_tune.leave_out_label", photo), title: text("new_tune.leave_out") });
        return h("li", {}, h("img", { src: URL.createObjectURL(photo), alt: photo.name, title: photo.name }), remove);
      }),
    );
  }
  function set(wanted) {
    photos = wanted;
    draw();
  }
  function add(files) {
    const strange = files.filter((file) => !KINDS.includes(file.type));
    const convert = strange.some((file) => /\.hei[cf]$/i.test(file.name)) ? ` ${text("new_tune.heic")}` : "";
    refused(strange.length ? `${text("new_tune.strange", { names: strange.map((file) => file.name).join(", ") })}${convert}` : "");
    set([...photos, ...files.filter((file) => KINDS.includes(file.type))]);
  }
  input.addEventListener("change", () => {
    add([...input.files]);
    input.value = "";
  });
  takesFiles(zone, add);
  return { root: h("div", {}, zone, shown), add, photos: () => photos, forget: () => set([]) };
}

const option = (value, label = value) => h("option", { value }, label);

// The choice between photos as they are, and a training with what it needs. `training` is what the server offers.
function wayPicker(training) {
  const name = newId("way");
  const way = (value, label, about, attributes = {}) => {
    const input = h("input", { type: "radio", name, value, ...attributes });
    return h("label", { class: "astria-way" }, input, h("span", {}, label, h("small", {}, about)));
  };
  const canTrain = training.bases.length > 0;
  const trainAbout = text(canTrain ? "new_tune.train_about" : "new_tune.no_base");
  const ways = h("div", { role: "radiogroup", "aria-label": text("new_tune.way"), class: "astria-fields" }, way("faceid", text("new_tune.photos_only"), text("new_tune.photos_only_about"), { checked: true }), way("lora", text("new_tune.train"), trainAbout, { disabled: !canTrain }));
  const base = h("select", {}, ...training.bases.map(({ id, title }) => option(id, `${id} ${title}`.trim())));
  const preset = h("select", {});
  const agreed = h("input", { type: "checkbox" });
  const agreement = training.agreement && h("label", { class: "astria-way" }, agreed, h("span", {}, training.agreement, h("small", {}, text("new_tune.agreement"))));
  const more = h("div", { class: "astria-fields", hidden: true }, h("div", { class: "astria-pair" }, field(text("new_tune.base"), base), field(text("new_tune.preset"), preset)), agreement);
  const chosen = () => ways.querySelector("input:checked").value;
  const drawPresets = () => preset.replaceChildren(...(training.bases.find(({ id }) => id === base.value)?.presets ?? []).map((one) => option(one)));
  base.addEventListener("change", drawPresets);
  drawPresets();
  return {
    root: h("div", { class: "astria-fields" }, ways, more),
    trains: () => chosen() === "lora",
    whenChosen(act) {
      ways.addEventListener("change", () => {
        more.hidden = chosen() !== "lora";
        act(chosen() === "lora");
      });
    },
    fields() {
      if (chosen() !== "lora") return {};
      if (agreement && !agreed.checked) throw Object.assign(new Error(text("new_tune.not_agreed")), { hint: text("new_tune.not_agreed_hint") });
      return { model_type: "lora", base_tune_id: base.value, preset: preset.value, ...(agreement ? { person_agreed: "true" } : {}) };
    },
  };
}

// `made(answer)` is called with the server's answer.
export function newTune({ photos, check, training, made }) {
  const title = h("input", { type: "text", placeholder: "Anna", required: true, autofocus: true, maxlength: 200 });
  const names = h("datalist", { id: "astria-class-names" }, ...CLASS_NAMES.map((name) => h("option", { value: name })));
  const name = h("input", { type: "text", placeholder: "woman", list: names.id, maxlength: 100 });
  const token = h("input", { type: "text", value: "ohwx", maxlength: 100 });
  const least = h("input", { type: "number", value: "64", min: "16", max: "4096" });
  const picker = photoPicker((refusal) => refusal && told.fail(new Error(refusal)));
  const way = wayPicker(training);
  const leastField = field(text("new_tune.least"), least, text("new_tune.least_hint"));
  const checked = h("p", { class: "astria-quiet" }, check);
  way.whenChosen((trains) => {
    leastField.hidden = checked.hidden = trains;
    if (token.value === "ohwx" || token.value === "") token.value = trains ? "" : "ohwx";
    token.placeholder = trains ? text("new_tune.token_of_base") : "";
  });

  async function act() {
    if (!title.value.trim()) throw Object.assign(new Error(text("new_tune.no_title")), { hint: text("new_tune.no_title_hint") });
    if (!picker.photos().length) throw Object.assign(new Error(text("new_tune.no_photos")), { hint: text("new_tune.no_photos_hint") });
    const form = new FormData();
    const inputs = way.trains() ? { title, name, token } : { title, name, token, min_face_px: least };
    for (const [key, input] of Object.entries(inputs)) if (input.value.trim()) form.append(key, input.value.trim());
    for (const [key, value] of Object.entries(way.fields())) form.append(key, value);
    for (const photo of picker.photos()) form.append("images[]", photo, photo.name);
    told.say(counted("new_tune.looking", picker.photos().length));
    made(await createTune(form));
  }
  const content = [
    picker.root,
    field(text("new_tune.name"), title, text("new_tune.name_hint")),
    h("div", { class: "astria-pair" }, field(text("new_tune.who"), name, text("new_tune.who_hint")), field(text("new_tune.token"), token, text("new_tune.token_hint"))),
    names,
    way.root,
    leastField,
    checked,
  ];
  const { dialog, told } = openDialog({ title: text("new_tune.title"), content, action: text("new_tune.create"), act });
  dialog.addEventListener("close", picker.forget);
  if (photos?.length) picker.add(photos);
}
