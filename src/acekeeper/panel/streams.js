// Every stream with its speed and its peers as curves: what the service remembers, then what comes.

import { call } from "./connection.js";
import { count, find, make, serverNow, setText, short, show, since, speed, visible } from "./dom.js";

const WINDOW_MS = 20 * 60 * 1000;
const WIDTH = 120;
const HEIGHT = 30;
const SVG = "http://www.w3.org/2000/svg";

const list = find("#rows");
const hint = find("#streams-hint");
const rows = new Map();
const wanted = []; // rows whose past is not known yet
let fetching = 0;

const watcher = new IntersectionObserver((seen) => {
  for (const { isIntersecting, target } of seen) {
    if (!isIntersecting) continue;
    watcher.unobserve(target);
    wanted.push(target.dataset.stream);
  }
  fetchPasts();
});

export function showStreams(streams, engineOf, active) {
  for (const [id, row] of rows) {
    if (!streams.has(id)) {
      watcher.unobserve(row.item);
      row.item.remove();
      rows.delete(id);
    }
  }
  for (const [id, { stream, sample, silent }] of streams) {
    if (!rows.has(id)) addRow(id, stream);
    const row = rows.get(id);
    const engine = engineOf(stream) ?? "an engine not ours";
    const player = stream.player ? ` · gateway to ${stream.player}` : "";
    setText(row.where, `${engine} · ${since(stream.started_at)}${player}`);
    if (sample) collect(row, [sample]);
    if (row.stale || silent || row.silent) {
      row.silent = silent;
      draw(row);
    }
  }
  const hidden = active - streams.size;
  setText(hint, hidden > 0 && streams.size ? `${count(hidden, "more stream")} not shown.` : "Nothing plays.");
  show(hint, streams.size === 0 || hidden > 0);
}

function addRow(id, stream) {
  const key = make("b", "", short(stream.key, 16));
  key.title = `${stream.key_type} ${visible(stream.key)}`;
  const where = make("span", "where");
  const down = makeCurve("down");
  const peers = makeCurve("peers");
  const item = make("li", "", make("div", "what", key, where), down.figure, peers.figure);
  item.dataset.stream = id;
  rows.set(id, { item, where, down, peers, samples: [], stale: true, silent: false });
  list.append(item);
  watcher.observe(item);
}

function makeCurve(name) {
  const caption = make("figcaption");
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", `0 0 ${WIDTH} ${HEIGHT}`);
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("aria-hidden", "true");
  return { figure: make("figure", name, caption, svg), caption, svg };
}

/** Samples the row has already are not taken twice. */
function collect(row, samples) {
  const known = new Set(row.samples.map((sample) => sample.at));
  const news = samples
    .map((sample) => ({ ...sample, at: Date.parse(sample.ts) }))
    .filter((sample) => !known.has(sample.at));
  if (!news.length) return;
  const oldest = serverNow() - WINDOW_MS;
  row.samples = [...row.samples, ...news]
    .filter((sample) => sample.at >= oldest)
    .sort((one, other) => one.at - other.at);
  row.stale = true;
}

function draw(row) {
  row.stale = false;
  const last = row.samples.at(-1);
  const now = row.silent ? serverNow() : undefined;
  const word = (text) => (row.silent ? "not known" : last ? text() : "no word yet");
  drawCurve(row.down, row.samples.map((s) => [s.at, s.speed_down]), word(() => speed(last.speed_down)), now);
  drawCurve(row.peers, row.samples.map((s) => [s.at, s.peers]), word(() => count(last.peers, "peer")), now);
}

/** Up to the last point, or to `now`. Nothing is drawn where the engine was silent. */
function drawCurve({ caption, svg }, points, text, now) {
  setText(caption, text);
  if (!points.length) return;
  const first = points[0][0];
  const width = (now ?? points.at(-1)[0]) - first;
  const highest = Math.max(1, ...points.map(([, value]) => value));
  const place = ([at, value]) => [
    width ? ((at - first) / width) * WIDTH : 0,
    HEIGHT - 1 - (value / highest) * (HEIGHT - 2),
  ];
  const parts = withoutGaps(points).map((part) => part.map(place));
  if (!width) parts[0].push([WIDTH, parts[0][0][1]]);
  svg.replaceChildren(...parts.flatMap(drawPart));
}

function drawPart(placed) {
  const path = placed.map(([x, y]) => `${x.toFixed(1)},${y.toFixed(1)}`).join(" ");
  const [begin, end] = [placed[0], placed.at(-1)].map(([x]) => x.toFixed(1));
  return [
    ["polygon", `${begin},${HEIGHT} ${path} ${end},${HEIGHT}`],
    ["polyline", path],
  ].map(([name, where]) => {
    const shape = document.createElementNS(SVG, name);
    shape.setAttribute("points", where);
    return shape;
  });
}

/** A sample is missing where one takes much longer than they usually do. */
function withoutGaps(points) {
  const waits = points.slice(1).map(([at], before) => at - points[before][0]);
  const usual = waits.toSorted((one, other) => one - other)[waits.length >> 1];
  const parts = [[points[0]]];
  waits.forEach((wait, before) => {
    if (wait > 2.5 * usual) parts.push([]);
    parts.at(-1).push(points[before + 1]);
  });
  return parts;
}

/** Of what is seen only, and two at a time: there may be hundreds. */
async function fetchPasts() {
  while (wanted.length && fetching < 2) {
    fetching += 1;
    const id = wanted.shift();
    const from = new Date(serverNow() - WINDOW_MS).toISOString();
    try {
      const past = await call("GET", `/streams/${encodeURIComponent(id)}/stats?since=${from}`);
      const row = rows.get(id);
      if (row) {
        collect(row, past);
        draw(row);
      }
    } catch {
      // It ended, or we have no connection, which is told elsewhere: the curve begins with now.
    } finally {
      fetching -= 1;
    }
  }
}
