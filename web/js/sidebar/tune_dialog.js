// A new tune: photos of one person, dropped or chosen, the words for them, and whether they are trained.
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
  const shown = h("ul", { class: "astria-photos", "aria-label": "Chosen photos" });
  const input = h("input", { type: "file", multiple: true, accept: KINDS.join(","), class: "astria-hidden", "aria-label": "Photos of one person" });
  const zone = h("label", { class: "astria-zone" }, input, h("span", {}, "Drop photos here, or click to choose"), h("small", {}, "JPEG, PNG or WebP, of one person"));

  function draw() {
    for (const old of shown.querySelectorAll("img")) URL.revokeObjectURL(old.src);
    shown.replaceChildren(
      ...photos.map((photo) => {
        const remove = button("×", () => set(photos.filter((one) => one !== photo)), { class: "astria-remove", "aria-label": `Leave out ${photo.name}`, title: "Leave out" });
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
    const convert = strange.some((file) => /\.hei[cf]$/i.test(file.name)) ? " Save HEIC pictures as JPEG first." : "";
    refused(strange.length ? `${strange.map((file) => file.name).join(", ")}: expected JPEG, PNG or WebP.${convert}` : "");
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
  const trainAbout = canTrain ? "A LoRA of 4 to 20 photos, by ComfyUI's own queue. How long it takes is known after ten steps." : "Bind a base first: there is none to train on.";
  const ways = h("div", { role: "radiogroup", "aria-label": "What is made of the photos", class: "astria-fields" }, way("faceid", "Photos only", "Ready at once, as <faceid:ID:1>.", { checked: true }), way("lora", "Train", trainAbout, { disabled: !canTrain }));
  const base = h("select", {}, ...training.bases.map(({ id, title }) => option(id, `${id} ${title}`.trim())));
  const preset = h("select", {});
  const agreed = h("input", { type: "checkbox" });
  const agreement = training.agreement && h("label", { class: "astria-way" }, agreed, h("span", {}, training.agreement, h("small", {}, "You are asked this once. No deception, and no sexual pictures of anyone.")));
  const more = h("div", { class: "astria-fields", hidden: true }, h("div", { class: "astria-pair" }, field("Base", base), field("Preset", preset)), agreement);
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
      if (agreement && !agreed.checked) throw Object.assign(new Error("Nobody has confirmed yet that the person agreed."), { hint: "Train only people who agreed, and no minors." });
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
  const picker = photoPicker((text) => text && told.fail(new Error(text)));
  const way = wayPicker(training);
  const leastField = field("Smallest face, px", least, "Photos with a smaller one are left out; lower it for small photos.");
  const checked = h("p", { class: "astria-quiet" }, check);
  way.whenChosen((trains) => {
    leastField.hidden = checked.hidden = trains;
    if (token.value === "ohwx" || token.value === "") token.value = trains ? "" : "ohwx";
    token.placeholder = trains ? "that of the base" : "";
  });

  async function act() {
    if (!title.value.trim()) throw Object.assign(new Error("The tune has no title."), { hint: "Write who is on the photos." });
    if (!picker.photos().length) throw Object.assign(new Error("There are no photos yet."), { hint: "Drop one or more photos of the person." });
    const form = new FormData();
    const inputs = way.trains() ? { title, name, token } : { title, name, token, min_face_px: least };
    for (const [key, input] of Object.entries(inputs)) if (input.value.trim()) form.append(key, input.value.trim());
    for (const [key, value] of Object.entries(way.fields())) form.append(key, value);
    for (const photo of picker.photos()) form.append("images[]", photo, photo.name);
    told.say(`Looking at ${picker.photos().length} photo(s) ...`);
    made(await createTune(form));
  }
  const content = [
    picker.root,
    field("Title", title, "What you will look for."),
    h("div", { class: "astria-pair" }, field("Who it is", name, "In the prompt's words."), field("Token", token, "Stands for this person.")),
    names,
    way.root,
    leastField,
    checked,
  ];
  const { dialog, told } = openDialog({ title: "New tune", content, action: "Create", act });
  dialog.addEventListener("close", picker.forget);
  if (photos?.length) picker.add(photos);
}
