// How fast requests go on, by what was heard of them in the last seconds.

import { duration, rate, settledOf } from "./draw.js";

const WINDOW_SECONDS = 15;
const SAMPLES_MAX = 400;

export class Rates {
  constructor() {
    this.heard = new Map();
  }

  /** Forgets all requests but these. */
  keep(ids) {
    for (const id of this.heard.keys()) if (!ids.includes(id)) this.heard.delete(id);
  }

  /** Tables and keys a second, and the time left where that can be known, in words. */
  of(id, progress) {
    const now = performance.now() / 1000;
    const samples = this.heard.get(id) ?? [];
    samples.push({ at: now, tables: settledOf(progress), keys: progress.keys_done });
    const isKept = (sample) => now - sample.at <= WINDOW_SECONDS;
    const kept = samples.filter(isKept).slice(-SAMPLES_MAX);
    this.heard.set(id, kept);
    const { at, tables, keys } = kept[0];
    if (now - at < 1) return [];
    const speed = (from, to) => (to - from) / (now - at);
    const keysSpeed = speed(keys, progress.keys_done);
    // A hard search settles nothing for a while; its attempts say that it goes on.
    if (settledOf(progress) === tables) return [];
    const tablesSpeed = speed(tables, settledOf(progress));
    const words = [`${rate(tablesSpeed)} tables/s`, `${rate(keysSpeed)} keys/s`];
    const keysLeft = progress.keys_total - progress.keys_done;
    // The largest come first: what is left has fewer keys a table, and each takes some time for itself.
    const left = Math.max(keysSpeed > 0 ? keysLeft / keysSpeed : 0, (progress.tables - settledOf(progress)) / tablesSpeed);
    if (keysLeft > 0) words.push(`about ${duration(left)} left`);
    return words;
  }
}
