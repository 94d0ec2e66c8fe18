// Asks the daemon: answers as JSON, and event streams. What it wants a token for is asked for once,
// kept for this tab alone, and sent as a header, so no address ever holds it.

const TOKEN = "perfecta-token";

/** What a token is made of. A header that holds anything else cannot be sent. */
const IS_TOKEN = /^[\x21-\x7e]+$/;

/** The daemon is there and says no. */
export class Refusal extends Error {
  constructor(status, problem) {
    super(problem?.detail ?? `the daemon answered ${status}`);
    this.status = status;
    this.remedy = problem?.remedy;
  }
}

/** The daemon is not there, or says nothing. */
export class Silence extends Error {}

/** What a daemon may say nothing for before it counts as gone: it is asked every second, and has 3 s in all. */
const PATIENCE_MS = 2_000;

/** The same for an order, which is answered when it is on the daemon's disk. */
const PATIENCE_OF_ORDERS_MS = 10_000;

/** Timers that are so late were held up with the whole page, which heard nothing meanwhile. */
const LATE_MS = 500;

/** The JSON that the daemon answers a path with. */
export async function ask(path, method = "GET") {
  const patience = new Patience(method === "GET" ? PATIENCE_MS : PATIENCE_OF_ORDERS_MS);
  try {
    const response = await send(path, method, () => patience.begin());
    let text = "";
    for await (const part of parts(response)) {
      patience.go();
      text += part;
    }
    return JSON.parse(text, exactly);
  } finally {
    patience.end();
  }
}

/** Aborts a question of which nothing is heard for so long. */
class Patience {
  constructor(longest) {
    this.longest = longest;
  }

  /** The signal of a question that is sent now. */
  begin() {
    this.controller = new AbortController();
    this.go();
    return this.controller.signal;
  }

  /** It is waited for from now on. */
  go() {
    this.end();
    const due = performance.now() + this.longest;
    this.timer = setTimeout(() => {
      // Hidden pages and those that slept have answers waiting behind their timers.
      if (performance.now() > due + LATE_MS) this.go();
      else this.controller.abort();
    }, this.longest);
  }

  end() {
    clearTimeout(this.timer);
  }
}

/** The text of an answer as it comes. */
async function* parts(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  for (;;) {
    const { done, value } = await reader.read().catch(unheard);
    if (done) return;
    yield value;
  }
}

/** Seeds have 64 bits, which numbers of a script have not: they stay as they were written. */
function exactly(_, value, written) {
  return Number.isInteger(value) && !Number.isSafeInteger(value) ? (written?.source ?? value) : value;
}

function unheard(error) {
  throw new Silence(error.message);
}

/** Tells every event of a stream, as `told(name, data)`, until it ends or `signal` aborts it. */
export async function follow(path, signal, told) {
  const response = await send(path, "GET", () => signal);
  let rest = "";
  for await (const part of parts(response)) {
    const events = (rest + part).split("\n\n");
    rest = events.pop();
    for (const event of events) {
      const [, name, data] = event.match(/^event: (.*)\ndata: (.*)$/) ?? [];
      if (name) told(name, JSON.parse(data));
    }
  }
}

async function send(path, method, signal) {
  for (;;) {
    const token = sessionStorage.getItem(TOKEN);
    const headers = token ? { authorization: `Bearer ${token}` } : {};
    const response = await fetch(path, { method, headers, signal: signal(), cache: "no-store" }).catch(unheard);
    if (response.ok) return response;
    if (response.status !== 401) {
      throw new Refusal(response.status, await response.json().catch(() => null));
    }
    await anotherToken(token);
  }
}

let asking = null;

/** Returns when there is a token other than the one that was refused; all that ask wait for one. */
function anotherToken(refused) {
  if (sessionStorage.getItem(TOKEN) !== refused) return Promise.resolve();
  asking ??= askForToken(refused !== null).finally(() => (asking = null));
  return asking;
}

function askForToken(wasRefused) {
  const dialog = document.getElementById("token");
  const input = document.getElementById("token-input");
  const refused = document.getElementById("token-refused");
  refused.hidden = !wasRefused;
  input.value = "";
  dialog.showModal();
  return new Promise((resolve) => {
    document.getElementById("token-form").onsubmit = (event) => {
      event.preventDefault();
      const token = input.value.trim();
      if (!IS_TOKEN.test(token)) {
        refused.hidden = false;
        input.select();
        return;
      }
      sessionStorage.setItem(TOKEN, token);
      dialog.onclose = null;
      dialog.close();
      resolve();
    };
    // There is nothing to see without one, and browsers let Escape close it whatever a page says.
    dialog.onclose = () => {
      if (!dialog.open) dialog.showModal();
    };
  });
}
