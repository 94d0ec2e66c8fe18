// The page: what the daemon is, its requests, and one request.
//
// Everything is asked for anew every second as long as the page is seen, a page of it at a time; only
// the request that is looked at is followed by an event stream. So what is kept and drawn is bounded,
// however much the daemon has to do.

import { Refusal, Silence, ask } from "./ask.js";
import { byId, count, duration, element, many, pairs, put, show, visible } from "./draw.js";
import { Overview } from "./overview.js";
import { RequestView } from "./request.js";

const EVERY_MS = 1_000;
const RETRY_MS_MAX = 5_000;

/** What is known of the daemon, for all views. */
const daemon = { stats: null, config: null, heardAt: null };

const overview = new Overview(daemon, sureToCancel);
let view = null;

/** What an address says, which somebody may have cut in the middle of a letter. */
function decoded(hash) {
  try {
    return decodeURIComponent(hash);
  } catch {
    return "#/";
  }
}

/** Goes to what the address names; other fragments are places within the page. */
function route() {
  const hash = decoded(location.hash);
  if (hash !== "" && !hash.startsWith("#/")) return;
  const id = hash.match(/^#\/requests\/(.+)$/)?.[1];
  const isFirst = view === null;
  view?.leave();
  byId("sure").close();
  view = id ? new RequestView(id, sureToCancel) : overview;
  show(byId("overview"), !id);
  show(byId("request"), Boolean(id));
  if (!isFirst) focusTitle();
  scrollTo(0, 0);
  look();
}

/** Where the focus is when what had it is gone. */
function focusTitle() {
  byId(view === overview ? "overview-title" : "request-title").focus();
}

let timer = null;
let isLooking = false;
let wantsAnother = false;
let retryMs = EVERY_MS;

/** Asks for everything that is shown, and again a second later; one look at a time. */
async function look() {
  clearTimeout(timer);
  if (document.hidden) return;
  if (isLooking) {
    wantsAnother = true;
    return;
  }
  isLooking = true;
  let pause = EVERY_MS;
  try {
    await lookOnce();
    retryMs = EVERY_MS;
    heard(null);
  } catch (error) {
    if (!(error instanceof Silence || error instanceof Refusal)) console.error(error);
    pause = retryMs;
    retryMs = Math.min(2 * retryMs, RETRY_MS_MAX);
    heard(error);
  }
  isLooking = false;
  if (wantsAnother) pause = 0;
  wantsAnother = false;
  timer = setTimeout(look, pause);
}

async function lookOnce() {
  const stats = await ask("v1/stats");
  if (stats.process !== daemon.stats?.process || stats.uptime_seconds < daemon.stats.uptime_seconds) {
    daemon.config = await ask("v1/config");
    overview.forget();
  }
  daemon.stats = stats;
  await view.look();
}

/** Shows whether the daemon was heard, and what it said of itself. */
function heard(error) {
  const isThere = !(error instanceof Silence);
  if (isThere) daemon.heardAt = new Date();
  document.body.classList.toggle("lost", !isThere);
  const { stats } = daemon;
  const phase = !isThere ? ["connection lost", "bad"] : stats?.is_draining ? ["draining", "warn"] : ["serving", "good"];
  put(byId("phase"), phase[0]);
  byId("phase").className = `badge ${phase[1]}`;
  if (stats) showFacts(stats);
  const running = stats?.requests_outstanding ?? 0;
  const title = !isThere ? "lost · perfecta" : running ? `${count(running)} running · perfecta` : "perfecta";
  if (document.title !== title) document.title = title;
  showAlarms(error, isThere);
}

function showFacts(stats) {
  const { config } = daemon;
  pairs(byId("facts"), [
    ["Version", stats.version],
    ["Up", duration(stats.uptime_seconds)],
    ["Requests", `${count(stats.requests_outstanding)} to do, ${count(stats.requests_kept - stats.requests_outstanding)} ended`],
    ["Tables", `${count(stats.items_running)} in hand, ${count(stats.items_queued)} waiting`],
    ["Engine", `${stats.machine.backend}, ${many(config?.threads ?? 0, "worker")}`],
    ["Accounts", stats.ledger_difference === 0 ? "add up" : `wrong by ${count(stats.ledger_difference)}`],
  ]);
}

/** Why nothing came of a question or an order. */
function reasonOf(error) {
  if (error instanceof Silence) return "The daemon does not answer.";
  return error instanceof Refusal ? `The daemon says: ${error.message}` : `This page has a bug: ${error.message}`;
}

function showAlarms(error, isThere) {
  const alarms = [];
  if (!isThere) {
    const since = daemon.heardAt ? ` What is shown is as of ${daemon.heardAt.toLocaleTimeString("en-GB")}.` : "";
    alarms.push(`${reasonOf(error)} It is asked again every few seconds.${since}`);
  } else if (error) {
    alarms.push(reasonOf(error));
  }
  const difference = daemon.stats?.ledger_difference ?? 0;
  if (difference !== 0) {
    alarms.push(`The accounts are wrong: ${many(difference, "table")} in no state, or in two. This is a bug; please report it.`);
  }
  if (isThere && daemon.stats?.is_draining) alarms.push("The daemon finishes what it has and takes no request any more.");
  const texts = alarms.join("\n");
  // An alarm is read out when it changes, not every second.
  if (byId("alarms").told === texts) return;
  byId("alarms").told = texts;
  byId("alarms").replaceChildren(...alarms.map((text) => element("p", { class: "alarm" }, text)));
}

/** Asks once whether a request is to be cancelled, and cancels it. */
function sureToCancel(id, name) {
  const dialog = byId("sure");
  put(byId("sure-name"), name);
  byId("sure-no").onclick = () => dialog.close();
  byId("sure-yes").onclick = async () => {
    dialog.close();
    byId("refused").replaceChildren();
    await ask(`v1/requests/${encodeURIComponent(id)}/cancel`, "POST").catch((error) => showRefused(name, error));
    look();
  };
  // What had the focus before may have gone meanwhile.
  dialog.onclose = () => {
    if (document.activeElement === document.body) focusTitle();
  };
  dialog.showModal();
  byId("sure-no").focus();
}

/** Says that nothing came of an order until somebody has read it, or gives another. It is no alarm of looks: the next one ends these. */
function showRefused(name, error) {
  const dismiss = element("button", { type: "button" }, "Dismiss");
  dismiss.onclick = () => {
    byId("refused").replaceChildren();
    focusTitle();
  };
  const text = visible(`Not known to be cancelled: ${name}. ${reasonOf(error)}`);
  byId("refused").replaceChildren(element("div", { class: "alarm" }, element("p", {}, text), dismiss));
}

addEventListener("hashchange", route);
document.addEventListener("visibilitychange", () => {
  if (document.hidden) view.rest();
  look();
});
byId("skip").addEventListener("click", (event) => {
  event.preventDefault();
  byId("main").focus();
});
route();
