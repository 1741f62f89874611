// One engine in full, with what can be done about it.

import { count, find, make, setClass, setText, short, show, since, visible } from "./dom.js";
import { heldOf, keepFocus, kindOf, playersOf, stateOf, usageOf } from "./engines.js";
import { entryOf } from "./log.js";

const dialog = find("#details");
const list = find("dl", dialog);
const entries = find(".entries", dialog);
const drain = find("#drain");
const stop = find("#stop");
const LONGEST = 120; // an infohash and a session have 73 characters
let name = null;
let shown = null;
let newest; // of its entries that are shown
let isSure = false;

export const openedEngine = () => name;

export function openDetails(engine) {
  name = engine;
  isSure = false;
  setText(find("#details-title"), name);
  dialog.showModal();
  find("#close").focus();
}

/** `now` is undefined for an engine that is gone. */
export function showDetails(now, streams, latest) {
  if (now) shown = now;
  const { engine, score } = shown;
  const state = find(".state", dialog);
  setClass(state, `state ${now ? kindOf(engine) : "gone"}`);
  setText(state, now ? stateOf(engine) : "It is gone.");
  const ago = (time) => (time ? `${since(time)} ago` : "never");
  const facts = {
    Score: String(score),
    Address: `${engine.host}:${engine.port}`,
    Asked: ago(engine.first_seen),
    Checked: ago(engine.last_health_check),
    "Last used": ago(engine.last_stream_usage),
    Use: usageOf(shown),
    Streams: engine.streams.map((id) => short(id, LONGEST)).join("\n") || "none known",
    Container: engine.container_id || "not yet",
    Image: engine.image || "not known",
  };
  const players = playersOf(shown, streams);
  if (players) facts.Players = players;
  if (engine.vpn) facts.VPN = engine.forwarded ? `${engine.vpn}, with its forwarded port` : engine.vpn;
  for (const [label, value] of Object.entries(engine.labels)) facts[`Label ${visible(label)}`] = visible(value);
  showFacts(Object.entries(facts));
  if (newest !== latest[0]?.id) entries.replaceChildren(...latest.map(entryOf));
  newest = latest[0]?.id;
  const kind = kindOf(engine);
  const isIdentified = Boolean(now && engine.container_id);
  show(drain, isIdentified && kind !== "draining" && kind !== "stopping");
  show(stop, isIdentified && kind !== "stopping");
  setText(stop, isSure ? `Stop now: ${ending(shown)}` : "Stop");
}

/** What stays the same stays as it is: somebody may be about to copy it. */
function showFacts(facts) {
  while (list.children.length > facts.length) list.lastChild.remove();
  while (list.children.length < facts.length) list.append(make("div", "", make("dt"), make("dd")));
  facts.forEach(([term, value], at) => {
    const [name, text] = list.children[at].children;
    setText(name, term);
    setText(text, value);
  });
}

function ending({ engine: { streams }, held }) {
  const ends = streams.length ? [`${count(streams.length, "stream")} on it will end`] : [];
  if (heldOf(held)) ends.push(`it is ${heldOf(held)}`);
  return ends.join(", and ") || "no stream on it is known";
}

/** `act(method, path, done)` does it, with the key. */
export function makeDetails(act) {
  drain.addEventListener("click", () => {
    act("POST", `/engines/${id()}/drain`, `${name} is drained and then stopped.`);
    dialog.close();
  });
  stop.addEventListener("click", () => {
    if (!isSure) {
      isSure = true;
      setText(stop, `Stop now: ${ending(shown)}`);
      return;
    }
    act("DELETE", `/containers/${id()}`, `${name} is being stopped.`);
    dialog.close();
  });
  find("#close").addEventListener("click", () => dialog.close());
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog) dialog.close(); // beside it
  });
  dialog.addEventListener("close", () => {
    name = null;
    keepFocus(); // the tile it came from may be gone
  });
}

const id = () => encodeURIComponent(shown.engine.container_id);
