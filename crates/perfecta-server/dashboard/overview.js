// All requests, a page of them at a time, and the last minutes of the daemon.

import { ask } from "./ask.js";
import { Bar, Graph, byId, bytes, count, duration, element, many, moment, put, rate, rows, sentence, settledOf, show, visible } from "./draw.js";
import { Pager } from "./pager.js";
import { Rates } from "./rates.js";

const LIMIT = 15;
const SAMPLES_MAX = 300;

export class Overview {
  constructor(daemon, cancel) {
    this.daemon = daemon;
    this.cancel = cancel;
    this.rates = new Rates();
    this.forget();
    this.pagers = ["outstanding", "ended"].map((name) => new Pager(byId(`${name}-pager`), LIMIT, () => this.look()));
    this.graphs = {
      tables: new Graph("Tables a second", rate, "blue"),
      keys: new Graph("Keys a second", rate, "teal"),
      items: new Graph("Tables to do", count, "amber"),
      memory: new Graph("Memory reserved", bytes, "violet"),
    };
    byId("graphs").append(...Object.values(this.graphs).map((graph) => graph.node));
  }

  /** Another daemon counts from the beginning. */
  forget() {
    this.samples = [];
  }

  rest() {}

  leave() {}

  async look() {
    const offsets = this.pagers.map((pager) => pager.offset);
    const after = this.samples.at(-1)?.number ?? 0;
    const [page, history] = await Promise.all([
      ask(`v1/overview?limit=${LIMIT}&outstanding_offset=${offsets[0]}&ended_offset=${offsets[1]}`),
      ask(`v1/history?after=${after}`),
    ]);
    // Who turned the page meanwhile asked for another one.
    if (this.pagers.every((pager, place) => pager.offset === offsets[place])) this.showRequests(page);
    const fresh = history.samples.filter((sample) => sample.number > (this.samples.at(-1)?.number ?? 0));
    this.samples = [...this.samples, ...fresh].slice(-SAMPLES_MAX);
    this.showGraphs();
  }

  showRequests(page) {
    const { queued, running, done, cancelled, failed, expired } = page.requests;
    const [numOutstanding, numEnded] = [queued + running, done + cancelled + failed + expired];
    put(byId("outstanding-count"), numOutstanding ? count(numOutstanding) : "");
    put(byId("ended-count"), numEnded ? count(numEnded) : "");
    show(byId("outstanding-empty"), numOutstanding === 0);
    show(byId("ended-empty"), numEnded === 0);
    this.pagers[0].update(numOutstanding);
    this.pagers[1].update(numEnded);
    this.rates.keep(page.outstanding.map((request) => request.id));
    rows(byId("outstanding"), page.outstanding, (request) => request.id, (request) => this.outstandingRow(request));
    rows(byId("ended"), page.ended, (request) => request.id, endedRow);
  }

  outstandingRow(request) {
    const { id } = request;
    const bar = new Bar();
    const facts = element("p", { class: "about" });
    const name = nameOf(request);
    const button = element("button", { type: "button", class: "danger quiet", "aria-label": `Cancel ${name}` }, "Cancel…");
    button.addEventListener("click", () => this.cancel(id, name));
    const head = element("div", { class: "row-head" }, linkTo(request), button);
    const node = element("li", { class: "panel" }, head, bar.node, facts);
    const update = ({ progress, accepted_unix_ms }) => {
      const isWaiting = progress === null || progress.queued === progress.tables;
      show(bar.node, !isWaiting);
      const since = `since ${moment(accepted_unix_ms)}`;
      if (isWaiting) {
        const tables = progress ? [many(progress.tables, "table")] : [];
        put(facts, sentence(["waits for its turn", ...tables, since]));
        return;
      }
      bar.update(progress, name);
      const settled = `${count(settledOf(progress))} of ${many(progress.tables, "table")}`;
      const { hardest } = progress;
      const search = hardest ? [`${many(hardest.attempts, "attempt")} on its hardest`] : [];
      put(facts, sentence([settled, ...this.rates.of(id, progress), ...search, since]));
    };
    return { node, update };
  }

  showGraphs() {
    const { samples, daemon } = this;
    const now = Math.max(daemon.stats.uptime_seconds, samples.at(-1)?.uptime_seconds ?? 0);
    const points = (value) => samples.map((sample) => [now - sample.uptime_seconds, value(sample)]);
    const speed = (name) =>
      samples.slice(1).map((sample, place) => {
        const before = samples[place];
        return [now - sample.uptime_seconds, (sample[name] - before[name]) / (sample.uptime_seconds - before.uptime_seconds)];
      });
    const last = samples.at(-1);
    const pools = daemon.stats.machine.pools;
    const waiting = pools.reduce((sum, pool) => sum + pool.waiting, 0);
    this.graphs.tables.update(speed("tables"), `${count(last?.tables ?? 0)} since it began`);
    this.graphs.keys.update(speed("keys"), `${rate(last?.keys ?? 0)} since it began`);
    this.graphs.items.update(points((sample) => sample.items_running + sample.items_queued), `${count(last?.items_running ?? 0)} in hand`);
    const buffers = waiting ? ` · ${count(waiting)} wait for a buffer` : "";
    this.graphs.memory.update(points((sample) => sample.memory_reserved_bytes), `of ${bytes(daemon.config.memory_bytes_max)}${buffers}`);
  }
}

function endedRow(request) {
  const badge = element("span");
  const facts = element("p", { class: "about" });
  const error = element("p", { class: "reason" });
  const head = element("div", { class: "row-head" }, linkTo(request), badge);
  const node = element("li", { class: "panel" }, head, facts, error);
  const update = (ended) => {
    const [word, tone] = outcomeOf(ended);
    put(badge, word);
    badge.className = `badge ${tone}`;
    put(facts, sentence(factsOf(ended)));
    show(error, ended.error !== null);
    put(error, ended.error ? visible(ended.error.message) : "");
  };
  return { node, update };
}

/** How a request ended, as a word and how bad that is. */
export function outcomeOf({ state, progress, summary }) {
  const failed = (summary ?? progress)?.failed ?? 0;
  switch (state) {
    case "queued":
      return ["waiting", "calm"];
    case "running":
      return ["running", "busy"];
    case "done":
      return failed ? [`done, ${count(failed)} failed`, "bad"] : ["done", "good"];
    case "cancelled":
      return ["cancelled", "warn"];
    case "expired":
      return ["out of time", "warn"];
    default:
      return ["could not run", "bad"];
  }
}

function factsOf({ summary, ended_unix_ms }) {
  const facts = [];
  if (summary) {
    const there = summary.ok + summary.unchanged;
    facts.push(`${count(there)} of ${many(summary.tables, "table")}`, many(summary.keys, "key"));
    if (summary.bytes) facts.push(bytes(summary.bytes));
    facts.push(`in ${duration(summary.wall_seconds)}`);
  }
  if (ended_unix_ms) facts.push(`ended ${moment(ended_unix_ms)}`);
  return facts;
}

/** What a request reads, and where it writes to. */
export function nameOf({ input, input_files, output }) {
  const more = input_files > 1 ? ` and ${count(input_files - 1)} more` : "";
  return `${visible(input)}${more} → ${output === null ? "memory only" : visible(output)}`;
}

function linkTo(request) {
  return element("a", { class: "path", href: `#/requests/${encodeURIComponent(request.id)}` }, nameOf(request));
}
