"use strict";
// The episodes that pass the filters, as cards; cards are made as the reader scrolls.

const AT_ONCE = 48;
let watcher = null;

function drawList() {
  const episodes = shownEpisodes();
  const begun = DATA.episodes.filter((episode) => episode.arms.some((result) => result !== null)).length;
  const cards = el("ol", { class: "cards", "aria-label": "episodes" });
  const end = el("p", { class: "note" });
  let made = 0;
  const more = () => {
    cards.append(...episodes.slice(made, made + AT_ONCE).map(drawCard));
    made = Math.min(made + AT_ONCE, episodes.length);
    end.textContent = made < episodes.length ? `${episodes.length - made} more below` : "";
  };
  watcher?.disconnect();
  watcher = new IntersectionObserver((entries) => entries.some((entry) => entry.isIntersecting) && made < episodes.length && more(), { rootMargin: "600px" });
  more();
  watcher.observe(end);
  const hidden = begun - episodes.length;
  const count = `${episodes.length} of ${begun} episodes${hidden > 0 ? `; the filters hide ${hidden}` : ""}`;
  return el("section", { "aria-label": "episodes" }, el("h2", {}, "Episodes"), drawFilters(),
    el("p", { class: "count", role: "status" }, count), cards, end);
}

function drawFilters() {
  const reasons = new Set(DATA.episodes.flatMap((episode) => episode.arms.map((result) => result?.reason)).filter(Boolean));
  const any = ["", "any"];
  const change = (name) => (value) => go({ [name]: value });
  const find = el("input", { type: "search", value: view.find, placeholder: "key or instruction",
    onchange: (event) => go({ find: event.target.value.trim() }) });
  const set = ["cell", "task", "arm", "outcome", "reason", "score", "flag", "find"].some((name) => view[name]);
  return el("div", { class: "filters", role: "search", "aria-label": "filters" },
    DATA.tasks.length > 1 ? choice("task", view.task, [any, ...DATA.tasks.map((task, i) => [String(i), `${task.suite}/${task.name}`])], change("task")) : null,
    choice("arm", view.arm, [any, ...DATA.arms.map((arm) => [arm.name, arm.name])], change("arm")),
    choice("outcome", view.outcome, [any, ...Object.keys(GLYPHS).map((word) => [word, word])], change("outcome")),
    choice("reason", view.reason, [any, ...[...reasons].sort().map((word) => [word, spaced(word)])], change("reason")),
    choice("score", view.score, [any, ["none", "0"], ["partial", "between"], ["full", "1"]], change("score")),
    choice("only where", view.flag, [["", "–"], ...Object.entries(FLAGS).map(([name, [text]]) => [name, text])], change("flag")),
    el("label", { class: "choice" }, el("span", {}, "find"), find),
    set ? el("button", { type: "button", onclick: () => go(CLEARED) }, "show all") : null);
}

const CLEARED = { cell: "", task: "", arm: "", outcome: "", reason: "", score: "", flag: "", find: "" };

function drawCard(episode) {
  const task = DATA.tasks[episode.task];
  return el("li", {},
    el("a", { class: "card", href: addressOf({ key: episode.key, step: "0" }) },
      el("span", { class: "key" }, DATA.tasks.length > 1 ? `${task.suite}/${task.name} ` : "", `state ${episode.state}`,
        el("small", {}, episode.key.split("/").slice(3).join(" "))),
      episode.arms.map((result, arm) => drawResult(result, arm, task))));
}

function drawResult(result, arm, task) {
  const ready = result !== null && DATA.films.includes(result.film_id);
  return el("span", { class: "result" },
    el("span", { class: "who" }, glyph(outcomeOf(result)), swatch(arm), el("span", {}, DATA.arms[arm].name)),
    ready ? el("img", { src: `media/${result.film_id}.webp`, alt: "first and last picture", loading: "lazy" }) : el("span", { class: "nothing", "aria-hidden": "true" }),
    el("small", {}, result === null ? "not run yet" : wordsOf(result, task)));
}

function wordsOf(result, task) {
  const missed = task.subgoals.filter((_, i) => !result.subgoals[i]);
  const words = [`${result.steps} steps`];
  if (result.outcome !== "success") words.unshift(spaced(result.reason ?? "failure"));
  if (result.score > 0 && result.score < 1) words.push(`score ${rounded(result.score)}`);
  if (result.outcome === "failure" && missed.length) words.push(`missed ${missed[0]}`);
  if (result.clipped) words.push(`${result.clipped} clipped`);
  if (result.stalled) words.push(`${result.stalled} stalled`);
  if (result.retried) words.push("retried");
  return words.join(" · ");
}
