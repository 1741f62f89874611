// Where there is a fleet, a tile for each of its hosts, this one first.

import { count, find, make, setClass, setText, show, since, visible } from "./dom.js";

const STANDINGS = {
  live: ["good", "● live"],
  stale: ["fair", "? nothing heard"],
  lost: ["bad", "✕ lost"],
};

const list = find("#hosts");
const tiles = new Map(); // by the name of the host

/** `fleet` is null where this host belongs to none. */
export function showFleet(fleet, hosts, version) {
  show(find("#fleet"), Boolean(fleet));
  if (!fleet) return;
  setText(find("#fleet-title"), `Fleet ${fleet.name}`);
  const { up, since: at, why } = fleet.link;
  setText(find("#fleet-link"), up ? "" : `not connected${at ? ` for ${since(at)}` : ""}: ${visible(why)}`);
  order([...hosts.values()].sort(byPlace));
  for (const [name, host] of hosts) showTile(tiles.get(name), host, version);
}

const byPlace = (a, b) => b.is_this - a.is_this || (a.host < b.host ? -1 : 1);

/** Those of these hosts, in this order, and no others. */
function order(hosts) {
  const names = hosts.map(({ host }) => host);
  if ([...tiles.keys()].join() === names.join()) return;
  const before = new Map(tiles);
  tiles.clear();
  for (const name of names) tiles.set(name, before.get(name) ?? makeTile(name));
  list.replaceChildren(...[...tiles.values()].map(({ item }) => item));
}

function makeTile(host) {
  const [state, load, more] = ["state", "load", "more"].map((part) => make("span", part));
  const name = make("a", "name", host); // without an address it is no link
  const item = make("li", "host", name, state, load, more);
  return { item, name, state, load, more };
}

function showTile(tile, host, version) {
  const [mood, state] = STANDINGS[host.standing];
  setClass(tile.item, `host ${host.maintenance && mood === "good" ? "fair" : mood}`);
  const address = host.is_this ? null : host.panel;
  if (tile.name.getAttribute("href") !== address) {
    if (address) tile.name.href = address;
    else tile.name.removeAttribute("href");
  }
  const at = mood !== "good" && host.since ? ` for ${since(host.since)}` : "";
  setText(tile.state, state + at);
  const { free, engines, streams } = host;
  const load = `${free} of ${engines} free · ${count(streams, "stream")}`;
  setText(tile.load, host.standing === "lost" ? "" : load);
  setText(tile.more, moreOf(host, version));
}

function moreOf({ is_this: isThis, maintenance, version }, ours) {
  const marks = [
    isThis ? "this host" : "",
    maintenance ? "in maintenance" : "",
    version === ours ? "" : `version ${visible(version)}`,
  ];
  return marks.filter(Boolean).join(" · ");
}
