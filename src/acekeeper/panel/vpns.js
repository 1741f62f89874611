// Where there are VPNs, a band for each, around the tiles of the engines behind it.

import { count, find, make, setClass, setText, show, since } from "./dom.js";

// How a band looks, and what it says.
const STATES = {
  connected: ["good", "● connected"],
  connecting: ["fair", "◌ connecting"],
  unknown: ["fair", "? not known yet"],
  lost: ["bad", "✕ tunnel lost"],
  dead: ["bad", "✕ nothing comes through"],
  silent: ["bad", "✕ does not answer"],
  stopped: ["bad", "■ does not run"],
  removed: ["fair", "? not in VPNS any more"],
  outside: ["bad", "! under the host's own address"],
};

const list = find("#tiles");
const bands = new Map(); // by the name of the VPN, in their order; "" is the name of none

/** `vpns` is empty where engines need none: then there are no bands. */
export function showBands(vpns, engines) {
  const behind = vpns.length ? Map.groupBy(engines.values(), ({ engine }) => engine.vpn ?? "") : new Map();
  const known = vpns.map(({ name }) => name);
  const left = [...behind.keys()].filter((name) => !known.includes(name)).sort().reverse();
  const shown = [...vpns, ...left.map((name) => ({ name, state: name ? "removed" : "outside" }))];
  setClass(list, shown.length ? "bands" : "");
  order(shown.map(({ name }) => name));
  for (const vpn of shown) showBand(bands.get(vpn.name), vpn, behind.get(vpn.name) ?? []);
}

/** Where the tile of an engine belongs. */
export const placeOf = ({ vpn }) => bands.get(vpn ?? "")?.tiles ?? list;

/** The bands that have these names, in this order, and no others. */
function order(names) {
  if ([...bands.keys()].join() === names.join()) return;
  const before = new Map(bands);
  bands.clear();
  for (const name of names) bands.set(name, before.get(name) ?? makeBand(name || "outside a VPN"));
  list.replaceChildren(...[...bands.values()].map(({ item }) => item));
}

function makeBand(title) {
  const [state, age, country, port, engines] = ["state", "age", "country", "port", "engines"].map(
    (part) => make("span", part),
  );
  const head = make("div", "facts", make("h3", "", title), state, age, country, port, engines);
  const tiles = make("ul");
  tiles.ariaLabel = title;
  return { item: make("li", "band", head, tiles), state, age, country, port, engines, tiles };
}

function showBand(band, vpn, behind) {
  const [mood, state] = STATES[vpn.state];
  setClass(band.item, `band ${mood}`);
  setText(band.state, state);
  const facts = {
    age: vpn.since ? `for ${since(vpn.since)}` : "",
    country: vpn.country ?? "",
    port: portOf(vpn, behind.find(({ engine }) => engine.forwarded)),
    engines: count(behind.length, "engine"),
  };
  for (const [name, text] of Object.entries(facts)) {
    setText(band[name], text);
    show(band[name], text !== "");
  }
}

function portOf({ port, state }, forwarded) {
  if (!port) return state === "connected" ? "no forwarded port" : "";
  return forwarded ? `⇄ port ${port} to ${forwarded.engine.container_name}` : `port ${port}`;
}
