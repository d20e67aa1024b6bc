// The tab of a fleet: what waits, what runs where, and what failed. ComfyUIs that run their prompts themselves have none.
import { text } from "../texts.js";
import { h, messages } from "./dom.js";
import { fleetStatus } from "./server.js";

const POLL_MS = 2000;
const LATE_S = 10; // a dispatcher tells of itself each second

const base = (worker) => worker.base.join(", ") || text("fleet.no_model");

function figures(told) {
  const held = told.waiting_for_training ? [text("fleet.held", told)] : [];
  return [text("fleet.waiting", told), ...held, text(told.per_minute == null ? "fleet.done" : "fleet.done_at", told), text("fleet.again", told)];
}

function card([name, worker]) {
  const words = [h("strong", {}, name), h("span", {}, text(worker.seconds == null ? "fleet.worker" : "fleet.worker_since", { ...worker, seconds: Math.round(worker.seconds) })), h("span", { class: "astria-file" }, base(worker))];
  return h("li", { class: `astria-card ${worker.state === "gone" ? "astria-missing" : ""}` }, h("div", { class: "astria-words" }, ...words));
}

export function fleetTab() {
  const told = messages();
  const numbers = h("ul", { "aria-label": text("fleet.prompts") });
  const workers = h("ul", { class: "astria-list", "aria-label": text("fleet.workers") });
  const root = h("div", { class: "astria-tab" }, told.root, numbers, workers);
  let timer = 0;

  function draw(status) {
    told.clear();
    numbers.replaceChildren(...(status.workers ? figures(status).map((line) => h("li", {}, line)) : []));
    workers.replaceChildren(...Object.entries(status.workers ?? {}).sort(([one], [other]) => one.localeCompare(other)).map(card));
    if (!status.workers) told.say(text("fleet.none"));
    else if (status.age_s > LATE_S) told.fail({ message: text("fleet.late", { seconds: Math.round(status.age_s) }), hint: text("fleet.late_hint") });
    else if (status.problem) told.fail({ message: text("fleet.held_up", status) });
  }
  async function look() {
    try {
      const { fleet } = await fleetStatus();
      draw(fleet ?? {});
    } catch (error) {
      told.fail(error);
    }
  }
  return {
    root,
    isOffered: () => fleetStatus().then(({ fleet }) => fleet !== null, () => false),
    async open() {
      clearInterval(timer);
      timer = setInterval(look, POLL_MS);
      await look();
    },
    close: () => clearInterval(timer),
  };
}
