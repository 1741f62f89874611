// Every engine as a tile. One of them takes the Tab key, arrows go from tile to tile.

import { count, find, make, setClass, setText, show, since, speed, words } from "./dom.js";
import { placeOf, showBands } from "./vpns.js";

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
const tiles = new Map(); // by the engine's name
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
export function showEngines(engines, streams, vpns, lastOf) {
  const hadFocus = list.contains(document.activeElement);
  showBands(vpns, engines);
  for (const [name, tile] of tiles) {
    if (!engines.has(name)) {
      tile.item.remove();
      tiles.delete(name);
    }
  }
  for (const [name, shown] of engines) {
    if (!tiles.has(name)) tiles.set(name, makeTile(name));
    const tile = tiles.get(name);
    place(tile, name, placeOf(shown.engine));
    showTile(tile, shown, streams, lastOf(name));
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
  if (engine.forwarded !== Boolean(tile.mark.parentNode)) {
    if (engine.forwarded) tile.age.before(tile.mark);
    else tile.mark.remove();
  }
  setText(tile.last, last ? `${words(last.kind).replace("engine ", "")} · ${since(last.ts)}` : "–");
  show(tile.item, FILTERS[filter](kind, shown));
}

function makeTile(name) {
  const [score, state, streams, age, last] = ["score", "state", "streams", "age", "last"].map(
    (part) => make("span", part),
  );
  score.title = "health score";
  age.title = "age";
  last.title = "last event";
  const mark = make("span", "mark", "⇄");
  mark.role = "img";
  mark.ariaLabel = mark.title = "forwarded port";
  const head = make("span", "row", make("span", "name", name), score);
  const button = make("button", "", head, make("span", "row", state, age), streams, last);
  button.type = "button";
  button.tabIndex = -1;
  button.dataset.engine = name;
  return { item: make("li", "tile", button), button, score, state, streams, age, last, mark };
}

/** Among those that are there, in the order of names. */
function place({ item }, name, there) {
  if (item.parentNode === there) return;
  const after = [...there.children].find(({ firstChild: other }) => byNumber(name, other.dataset.engine) < 0);
  there.insertBefore(item, after ?? null);
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

const visibleButtons = () => [...list.querySelectorAll(".tile:not([hidden]) > button")];

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
  const { offsetTop: top, offsetLeft: left } = buttons[at];
  const to = {
    ArrowRight: () => buttons[at + 1],
    ArrowLeft: () => buttons[at - 1],
    ArrowDown: () => nearest(buttons, buttons.find((button) => button.offsetTop > top), left),
    ArrowUp: () => nearest(buttons, buttons.findLast((button) => button.offsetTop < top), left),
    Home: () => buttons[0],
    End: () => buttons.at(-1),
  }[event.key];
  if (to === undefined) return;
  event.preventDefault();
  const wanted = to();
  if (wanted) keepOneTabStop(wanted).focus();
});

/** In the row of `one`, if there is one, what is most below or above `left`: bands end anywhere. */
function nearest(buttons, one, left) {
  const away = (button) => Math.abs(button.offsetLeft - left);
  const row = buttons.filter((button) => button.offsetTop === one?.offsetTop);
  return row.sort((button, other) => away(button) - away(other))[0];
}

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
