// Every engine as a tile. One of them takes the Tab key, arrows go from tile to tile.

import { count, find, make, setClass, setText, show, since, speed, words } from "./dom.js";

const SIGNS = {
  healthy: "●",
  suspect: "?",
  unhealthy: "✕",
  starting: "◌",
  draining: "↓",
  stopping: "■",
};
const FREE = { healthy: "idle", draining: "idle", starting: "not ready yet" };
const HELD = {
  viewer: "held for a viewer",
  try: "held for a try",
  player: "opening for a player",
  stop: "being freed",
};
const FILTERS = {
  all: () => true,
  healthy: (kind) => kind === "healthy",
  "not well": (kind) => kind === "suspect" || kind === "unhealthy",
  "coming or going": (kind) => ["starting", "draining", "stopping"].includes(kind),
  playing: (_, { engine }) => engine.streams.length > 0,
};

const list = find("#tiles");
const hint = find("#engines-hint");
const tiles = new Map(); // by the engine's name, in the order of names
let filter = "all";

export function kindOf({ phase, health_status: health }) {
  if (phase !== "running") return phase;
  return health === "unknown" ? "suspect" : health;
}

export function stateOf(engine) {
  const kind = kindOf(engine);
  if (kind === "healthy" && engine.starving) return "! starving";
  return `${SIGNS[kind]} ${engine.playback_doubted ? "playback doubted" : kind}`;
}

/** What an engine is used for, as far as that is known; `flow` tells more of its streams. */
export function usageOf({ engine, held }, player = "", flow = "") {
  const who = engine.streams.length === 1 && player ? player : count(engine.streams.length, "stream");
  const streams = engine.streams.length ? who + flow : "";
  return [streams, heldOf(held)].filter(Boolean).join(" · ") || FREE[kindOf(engine)] || "no stream known";
}

/** Why nobody else can have an engine beside its streams. */
export const heldOf = (held) => HELD[held] ?? "";

/** Where those are for whom the gateway plays on an engine. */
export function playersOf({ engine }, streams) {
  const players = engine.streams.map((id) => streams.get(id)?.stream.player);
  return [...new Set(players.filter(Boolean))].join(", ");
}

function flowOf({ engine }, streams) {
  const all = engine.streams.map((id) => streams.get(id)).filter(Boolean);
  if (all.some(({ silent }) => silent)) return " · not known";
  const samples = all.map(({ sample }) => sample).filter(Boolean);
  return samples.length ? ` · ${speed(samples.reduce((sum, { speed_down: down }) => sum + down, 0))}` : "";
}

/** `lastOf(name)` is the newest entry of the log about an engine, if any. */
export function showEngines(engines, streams, lastOf) {
  const hadFocus = list.contains(document.activeElement);
  for (const [name, tile] of tiles) {
    if (!engines.has(name)) {
      tile.item.remove();
      tiles.delete(name);
    }
  }
  for (const name of [...engines.keys()].sort(byNumber)) {
    if (!tiles.has(name)) addTile(name);
    showTile(tiles.get(name), engines.get(name), streams, lastOf(name));
  }
  showFilters(engines);
  if (hadFocus) keepFocus();
  else keepOneTabStop();
}

function showTile(tile, shown, streams, last) {
  const { engine, score } = shown;
  const kind = kindOf(engine);
  setClass(tile.item, `tile ${kind}${engine.starving ? " starving" : ""}`);
  setText(tile.score, String(score));
  setText(tile.state, stateOf(engine));
  setText(tile.streams, usageOf(shown, playersOf(shown, streams), flowOf(shown, streams)));
  setText(tile.age, since(engine.first_seen));
  setText(tile.last, last ? `${words(last.kind).replace("engine ", "")} · ${since(last.ts)}` : "–");
  show(tile.item, FILTERS[filter](kind, shown));
}

function addTile(name) {
  const [score, state, streams, age, last] = ["score", "state", "streams", "age", "last"].map(
    (part) => make("span", part),
  );
  score.title = "health score";
  age.title = "age";
  last.title = "last event";
  const head = make("span", "row", make("span", "name", name), score);
  const button = make("button", "", head, make("span", "row", state, age), streams, last);
  button.type = "button";
  button.tabIndex = -1;
  button.dataset.engine = name;
  const item = make("li", "tile", button);
  const after = [...tiles.keys()].find((other) => byNumber(name, other) < 0);
  list.insertBefore(item, after ? tiles.get(after).item : null);
  tiles.set(name, { item, button, score, state, streams, age, last });
  const ordered = [...tiles].sort(([one], [other]) => byNumber(one, other));
  tiles.clear();
  for (const [key, tile] of ordered) tiles.set(key, tile);
}

const byNumber = new Intl.Collator("en", { numeric: true }).compare;

function showFilters(engines) {
  const all = [...engines.values()].map((shown) => [kindOf(shown.engine), shown]);
  let seen = 0;
  for (const button of find("#filters").children) {
    const chosen = button.dataset.filter === filter;
    const found = all.filter((pair) => FILTERS[button.dataset.filter](...pair)).length;
    if (chosen) seen = found;
    setText(button, `${button.dataset.filter} ${found}`);
    button.setAttribute("aria-pressed", String(chosen));
  }
  setText(hint, engines.size ? "None of these now." : "No engine runs.");
  show(hint, seen === 0);
}

const visibleButtons = () =>
  [...tiles.values()].filter((tile) => !tile.item.hidden).map((tile) => tile.button);

function keepOneTabStop(wanted) {
  const buttons = visibleButtons();
  const stop = wanted ?? buttons.find((button) => button.tabIndex === 0) ?? buttons[0];
  for (const { button } of tiles.values()) button.tabIndex = button === stop ? 0 : -1;
  return stop;
}

/** Who goes by keyboard is not sent to the top when a tile is gone or not shown any more. */
export function keepFocus() {
  const stop = keepOneTabStop();
  if (!visibleButtons().includes(document.activeElement)) stop?.focus();
}

list.addEventListener("keydown", (event) => {
  const buttons = visibleButtons();
  const at = buttons.indexOf(document.activeElement);
  if (at < 0 || event.ctrlKey || event.altKey || event.metaKey) return;
  const top = buttons[0].offsetTop;
  const columns = buttons.findIndex((button) => button.offsetTop > top);
  const row = columns < 0 ? buttons.length : columns;
  const to = {
    ArrowRight: at + 1,
    ArrowLeft: at - 1,
    ArrowDown: at + row,
    ArrowUp: at - row,
    Home: 0,
    End: buttons.length - 1,
  }[event.key];
  if (to === undefined) return;
  event.preventDefault();
  if (to >= 0 && to < buttons.length) keepOneTabStop(buttons[to]).focus();
});
list.addEventListener("focusin", (event) => keepOneTabStop(event.target));

export function whenChosen(choose) {
  list.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (button) choose(button.dataset.engine);
  });
}

export function makeFilters(changed) {
  for (const name of Object.keys(FILTERS)) {
    const button = make("button", "", name);
    button.type = "button";
    button.dataset.filter = name;
    button.addEventListener("click", () => {
      filter = name;
      changed();
    });
    find("#filters").append(button);
  }
}
