// The tab of a fleet: what waits, what runs where, and what failed. ComfyUIs that run their prompts themselves have none.
import { h, messages } from "./dom.js";
import { fleetStatus } from "./server.js";

const POLL_MS = 2000;
const LATE_S = 10; // a dispatcher tells of itself each second

const base = (worker) => worker.base.join(", ") || "no model yet";
const since = ({ seconds }) => (seconds == null ? "" : ` for ${Math.round(seconds)} s`);

function figures(told) {
  const rate = told.per_minute == null ? "" : ` (${told.per_minute} a minute)`;
  const held = told.waiting_for_training ? [`${told.waiting_for_training} wait for a training, which no worker does`] : [];
  return [`${told.waiting} wait, ${told.running} run`, ...held, `${told.done} done${rate}, ${told.failed} failed`, `${told.rerun} run again, models loaded ${told.loads} times`];
}

function card([name, worker]) {
  const words = [h("strong", {}, name), h("span", {}, `${worker.state}${since(worker)}, ${worker.done} done`), h("span", { class: "astria-file" }, base(worker))];
  return h("li", { class: `astria-card ${worker.state === "gone" ? "astria-missing" : ""}` }, h("div", { class: "astria-words" }, ...words));
}

export function fleetTab() {
  const told = messages();
  const numbers = h("ul", { "aria-label": "Prompts of the fleet" });
  const workers = h("ul", { class: "astria-list", "aria-label": "Workers of the fleet" });
  const root = h("div", { class: "astria-tab" }, told.root, numbers, workers);
  let timer = 0;

  function draw(status) {
    told.clear();
    numbers.replaceChildren(...(status.workers ? figures(status).map((line) => h("li", {}, line)) : []));
    workers.replaceChildren(...Object.entries(status.workers ?? {}).sort(([one], [other]) => one.localeCompare(other)).map(card));
    if (!status.workers) told.say("No dispatcher has run yet: python dev.py fleet dispatch.");
    else if (status.age_s > LATE_S) told.fail({ message: `Told ${Math.round(status.age_s)} s ago: no dispatcher runs.`, hint: "python dev.py fleet dispatch starts one." });
    else if (status.problem) told.fail({ message: `Held up: ${status.problem}` });
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
