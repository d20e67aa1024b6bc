// A new tune: photos of one person, dropped or chosen, and the words for them.
import { button, field, h, openDialog } from "./dom.js";
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

// `made(answer)` is called with the server's answer.
export function newTune({ photos, check, made }) {
  const title = h("input", { type: "text", placeholder: "Anna", required: true, autofocus: true, maxlength: 200 });
  const names = h("datalist", { id: "astria-class-names" }, ...CLASS_NAMES.map((name) => h("option", { value: name })));
  const name = h("input", { type: "text", placeholder: "woman", list: names.id, maxlength: 100 });
  const token = h("input", { type: "text", value: "ohwx", maxlength: 100 });
  const least = h("input", { type: "number", value: "64", min: "16", max: "4096" });
  const picker = photoPicker((text) => text && told.fail(new Error(text)));

  async function act() {
    if (!title.value.trim()) throw Object.assign(new Error("The tune has no title."), { hint: "Write who is on the photos." });
    if (!picker.photos().length) throw Object.assign(new Error("There are no photos yet."), { hint: "Drop one or more photos of the person." });
    const form = new FormData();
    for (const [key, input] of Object.entries({ title, name, token, min_face_px: least })) if (input.value.trim()) form.append(key, input.value.trim());
    for (const photo of picker.photos()) form.append("images[]", photo, photo.name);
    told.say(`Looking at ${picker.photos().length} photo(s) ...`);
    made(await createTune(form));
  }
  const content = [
    picker.root,
    field("Title", title, "What you will look for."),
    h("div", { class: "astria-pair" }, field("Who it is", name, "In the prompt's words."), field("Token", token, "Stands for this person.")),
    names,
    field("Smallest face, px", least, "Photos with a smaller one are left out; lower it for small photos."),
    h("p", { class: "astria-quiet" }, check),
  ];
  const { dialog, told } = openDialog({ title: "New tune", content, action: "Create", act });
  dialog.addEventListener("close", picker.forget);
  if (photos?.length) picker.add(photos);
}
