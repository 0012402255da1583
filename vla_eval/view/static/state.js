"use strict";
// What is shown, as the address has it after "#": so every view has a link, and "back" works.

const view = {};

const DEFAULTS = {
  key: "", step: "0", a: "", b: "", cell: "", task: "", arm: "", outcome: "", reason: "", score: "",
  flag: "", find: "", camera: "", mode: "",
};

/** Reads the address into `view`. */
function readAddress() {
  const given = new URLSearchParams(location.hash.slice(1));
  for (const [name, usual] of Object.entries(DEFAULTS)) view[name] = given.get(name) ?? usual;
}

/** Returns the address of the present view with some changes. */
function addressOf(changes = {}) {
  const next = { ...view, ...changes };
  const words = new URLSearchParams();
  for (const [name, usual] of Object.entries(DEFAULTS)) if (next[name] !== usual) words.set(name, next[name]);
  return `#${words}`.replaceAll("%2F", "/");
}

/** Changes the view, as a new entry of the history. */
function go(changes) {
  const address = addressOf(changes);
  if (address !== location.hash) location.hash = address;
}

/** Changes the address without an entry in the history, and without drawing anew. */
function note(changes) {
  Object.assign(view, changes);
  history.replaceState(null, "", addressOf());
}

/** Returns the numbers of the two arms that the table compares: candidate and reference. */
function comparedArms() {
  const names = DATA.arms.map((arm) => arm.name);
  const of = (name, role, usual) => {
    const chosen = names.indexOf(name);
    if (chosen >= 0) return chosen;
    const stated = DATA.verdict?.[role] ? names.indexOf(DATA.verdict[role]) : -1;
    if (stated >= 0) return stated;
    const known = DATA.arms.findIndex((arm) => arm.role === role);
    return known >= 0 ? known : usual;
  };
  const a = of(view.a, "candidate", 0);
  const b = of(view.b, "reference", a === 1 ? 0 : 1);
  return [a, b < names.length && b !== a ? b : null];
}

const outcomeOf = (result) => result?.outcome ?? "pending";
const ended = (result) => result !== null && result.outcome !== "error";

/** Returns the cell of an episode in the 2 × 2 table: "10" is success of the first arm only. */
function cellOf(episode, a, b) {
  const [ours, theirs] = [episode.arms[a], b === null ? null : episode.arms[b]];
  if (!ended(ours) || !ended(theirs)) return "";
  if (ours.scene !== theirs.scene || !ours.scene) return "";
  return `${Number(ours.outcome === "success")}${Number(theirs.outcome === "success")}`;
}

const FLAGS = {
  differ: ["the arms differ", null],
  clipped: ["clipped actions", (result) => result.clipped > 0],
  stalled: ["stalled in virtual time", (result) => result.stalled > 0],
  retried: ["retried after a lost attempt", (result) => result.retried],
  missed: ["a subgoal was missed", (result) => result.subgoals.includes(0)],
  scene: ["the arms saw different scenes", null],
};

/** Returns whether an episode passes the filters. */
function passes(episode, a, b) {
  if (view.cell && cellOf(episode, a, b) !== view.cell) return false;
  if (view.task && String(episode.task) !== view.task) return false;
  if (view.find && !matchesText(episode)) return false;
  const results = episode.arms.filter((_, arm) => !view.arm || DATA.arms[arm].name === view.arm);
  if (view.flag === "differ") {
    if (new Set(episode.arms.filter(ended).map((result) => result.outcome)).size < 2) return false;
  } else if (view.flag === "scene") {
    if (new Set(episode.arms.filter(ended).map((result) => result.scene)).size < 2) return false;
  }
  return results.some(passesAlone);
}

function passesAlone(result) {
  if (view.outcome && outcomeOf(result) !== view.outcome) return false;
  if (view.reason && result?.reason !== view.reason) return false;
  if (view.score && (result === null || scoreClass(result.score) !== view.score)) return false;
  const test = FLAGS[view.flag]?.[1];
  return !test || (result !== null && test(result));
}

const scoreClass = (score) => (score >= 1 ? "full" : score > 0 ? "partial" : "none");

function matchesText(episode) {
  const text = `${episode.key} ${DATA.tasks[episode.task].instruction}`.toLowerCase();
  return view.find.toLowerCase().split(/\s+/).every((word) => text.includes(word));
}

/** Returns the episodes that pass the filters, in the plan's order; not begun ones only if asked for. */
function shownEpisodes() {
  const [a, b] = comparedArms();
  const begun = (episode) => view.outcome === "pending" || episode.arms.some((result) => result !== null);
  return DATA.episodes.filter((episode) => begun(episode) && passes(episode, a, b));
}
