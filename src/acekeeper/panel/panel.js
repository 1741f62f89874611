// The page: what the service tells goes to its parts, what an operator wants goes to the service.

import { Refused, call, follow } from "./connection.js";
import { clockTime, find, setClock, setText, show, soon } from "./dom.js";
import { makeDetails, openDetails, openedEngine, showDetails } from "./details.js";
import { makeFilters, showEngines, whenChosen } from "./engines.js";
import { showFleet } from "./fleet.js";
import { askKey, nextKey } from "./key.js";
import { addEntry, lastOf, latestOf } from "./log.js";
import { showOverview } from "./overview.js";
import { showStreams } from "./streams.js";

const LOG_AT_FIRST = 500;
const AGES_MS = 5_000;
const TOLD_MS = 10_000;

const engines = new Map();
const streams = new Map();
const hosts = new Map();
let overview = null;
let lostAt = null;
let connected = new AbortController();

const render = soon(() => {
  if (!overview) return;
  const names = new Map([...engines].map(([name, { engine }]) => [engine.container_id, name]));
  showOverview(overview);
  showFleet(overview.fleet, hosts, overview.version);
  showEngines(engines, streams, overview.vpns, lastOf);
  showStreams(streams, (stream) => names.get(stream.container_id), overview.streams.active);
  const opened = openedEngine();
  if (opened) showDetails(engines.get(opened), streams, latestOf(opened));
});

const live = {
  path: "/panel/live",
  isFirst: true,
  opened() {
    this.isFirst = true;
  },
  heard(news) {
    const upgraded = overview && overview.version !== news.overview.version;
    if (upgraded) return location.reload(); // this page is of the version before
    setClock(news.at);
    merge(engines, news.engines, this.isFirst);
    merge(streams, news.streams, this.isFirst);
    merge(hosts, news.hosts, this.isFirst);
    this.isFirst = false;
    overview = news.overview;
    lostAt = null;
    document.body.classList.remove("stale");
    show(find("#trouble"), false);
    render();
  },
  lost(why) {
    lostAt ??= Date.now();
    document.body.classList.add("stale");
    const shown = overview ? " Below is what was so then." : "";
    tellTrouble(`No connection since ${clockTime(lostAt)}: ${why}. Trying again.${shown}`);
  },
  refused,
};

const log = {
  path: "/log/live",
  opened() {},
  heard(entry) {
    addEntry(entry);
    render();
  },
  lost() {}, // `live` tells it
  refused,
};

/** All of it after a new connection, and otherwise what has changed. */
function merge(known, news, isAll) {
  if (isAll) for (const name of known.keys()) if (!Object.hasOwn(news, name)) known.delete(name);
  for (const [name, value] of Object.entries(news)) {
    if (value === null) known.delete(name);
    else known.set(name, value);
  }
}

function tellTrouble(text) {
  setText(find("#trouble"), text);
  show(find("#trouble"), true);
}

async function refused(error, signal) {
  if (error.isOutdated) return; // it came late: it is asked again at once
  tellTrouble("This service shows nothing without its API key.");
  await nextKey(whyKey(error), signal);
}

function whyKey({ status, mayRead }) {
  if (mayRead) return "The key in use may only read. This needs the API key of the service.";
  return status === 403 ? "This key is not valid. Try another." : "This needs the API key of the service.";
}

/** Whether it was done. The key is asked for as long as it is needed. */
async function act(method, path, done) {
  for (;;) {
    try {
      const answer = await call(method, path);
      tell(typeof done === "function" ? done(answer) : done);
      return true;
    } catch (error) {
      if (error instanceof Refused && error.needsKey) {
        if (error.isOutdated || (await askKey(whyKey(error)))) continue;
        tell(error.mayRead ? "Not done: the key in use may only read." : "Not done: it needs the API key.", true);
      } else if (error instanceof Refused) {
        tell(`Not done: ${error.message}.`, true);
      } else {
        tell("Not done: acekeeper cannot be reached.", true);
      }
      return false;
    }
  }
}

let untold = 0;

function tell(text, isBad = false) {
  const told = find("#told");
  setText(told, text);
  told.classList.toggle("bad", isBad);
  show(told, true);
  clearTimeout(untold);
  untold = setTimeout(() => show(told, false), TOLD_MS);
}

function onClick(id, work) {
  const button = find(id);
  button.addEventListener("click", async () => {
    if (button.ariaBusy === "true") return;
    button.ariaBusy = "true";
    try {
      await work();
    } finally {
      button.ariaBusy = "false";
    }
  });
}

/** The newest entries, and then those after them. */
async function followLog(signal) {
  while (log.lastId === undefined && !signal.aborted) {
    try {
      const entries = await call("GET", `/log?limit=${LOG_AT_FIRST}`);
      for (const entry of entries.reverse()) addEntry(entry);
      log.lastId = entries.at(-1)?.id ?? 0;
      render();
    } catch (error) {
      if (error instanceof Refused && error.needsKey) await refused(error, signal);
      else await new Promise((resolve) => setTimeout(resolve, 2000));
    }
  }
  await follow(log, signal);
}

/** Nobody looks at a hidden tab, and a browser has few connections for all of them. */
function connect() {
  connected.abort();
  connected = new AbortController();
  if (document.hidden) return;
  follow(live, connected.signal);
  followLog(connected.signal);
}

makeFilters(render);
makeDetails(act);
whenChosen((name) => {
  openDetails(name);
  showDetails(engines.get(name), streams, latestOf(name));
});
onClick("#provision", () =>
  act("POST", "/provision", (answer) => `${answer.container_name} is provided, and held for 60 s.`),
);
onClick("#reset", () =>
  act("POST", "/health/circuit-breaker/reset", "The circuit breaker is closed."),
);
find("#key").addEventListener("click", () => askKey("What the buttons do needs it."));
setInterval(render, AGES_MS);
document.addEventListener("visibilitychange", connect);
connect();
