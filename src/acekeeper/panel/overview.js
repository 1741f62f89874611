// The line of cards: how the whole is.

import { count, find, setClass, setText, show, since, words } from "./dom.js";

const MOODS = { healthy: "good", degraded: "fair", unavailable: "bad" };
const CIRCUITS = { closed: "good", half_open: "fair", open: "bad" };

export function showOverview(overview) {
  const { status, streams, capacity, provisioning, breaker, version } = overview;
  card("status", MOODS[status], status, reasons(overview).join("; ") || `version ${version}`);
  const kept = capacity.at_least ? `, at least ${capacity.at_least} by hand` : "";
  card(
    "capacity",
    "",
    `${capacity.total} of ${capacity.max_replicas}`,
    `${capacity.used} in use, ${capacity.available} free${kept}`,
  );
  card("playing", "", String(streams.active), streams.active ? "playing now" : "nothing plays");
  const { gateway } = overview;
  show(find("#gateway"), Boolean(gateway));
  if (gateway) {
    const { listening, playing, waiting } = gateway;
    const where = listening.join(", ") || "listens nowhere";
    const more = waiting ? `${waiting} waiting · ${where}` : where;
    card("gateway", listening.length ? "" : "bad", `${playing} playing`, more);
  }
  const { rollout } = overview;
  show(find("#rollout"), Boolean(rollout));
  if (rollout) {
    const why = Object.keys(rollout.reasons).map(words).join(", ");
    const state = rollout.stopped ? `stopped: ${words(rollout.stopped)}` : why;
    card("rollout", rollout.stopped ? "bad" : "fair", count(rollout.outdated, "engine"), state);
  }
  const refusal = provisioning.blocked_reason_details;
  card(
    "provisioning",
    provisioning.can_provision ? "good" : "bad",
    provisioning.can_provision ? "possible" : "blocked",
    refusal ? refusal.message : "",
  );
  const left = breaker.seconds_left ? `tries again in ${breaker.seconds_left} s, ` : "";
  const failures = `${breaker.failures} of ${count(breaker.failure_threshold, "failure")}`;
  card("breaker", CIRCUITS[breaker.state], words(breaker.state), left + failures);
  show(find("#reset"), breaker.state !== "closed" || breaker.failures > 0);
}

function reasons({ engines, breaker, degraded, maintenance }) {
  const found = [...degraded];
  if (maintenance) found.push(`in maintenance for ${since(maintenance)}`);
  else if (!engines.healthy) found.push("no engine can be used");
  if (engines.unhealthy) found.push(`${count(engines.unhealthy, "engine")} unhealthy`);
  if (breaker.state !== "closed") found.push("the circuit breaker is not closed");
  return found;
}

function card(id, mood, value, more) {
  const element = find(`#${id}`);
  setClass(element, mood);
  const [first, second] = element.querySelectorAll("dd");
  setText(first, value);
  setText(second, more);
}
