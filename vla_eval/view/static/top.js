"use strict";
// The upper part of the start page: verdict or summary, the 2 × 2 table, arms and tasks. All of it leads on.

function drawTop() {
  const [a, b] = comparedArms();
  return [
    drawTitle(),
    el("div", { id: "live" }),
    drawNotes(),
    drawVerdict(),
    el("div", { class: "entry" }, b === null ? null : drawTable(a, b), drawArms()),
    DATA.tasks.length > 1 ? drawTasks() : null,
  ];
}

function drawTitle() {
  const runs = DATA.runs.map((run) => `${run.path}${run.complete ? "" : ` (${run.status})`}`).join(", ");
  const [first] = DATA.runs;
  const reports = DATA.runs.flatMap((run, number) =>
    run.report ? [el("a", { href: `report-${number}.html` }, "report")] : [],
  );
  return el(
    "header",
    { class: "title" },
    el("p", { class: "brand" }, el("span", {}, `${first.protocol}${first.modified ? ", modified" : ""}`), el("span", {}, runs)),
    el("h1", {}, first.title || first.protocol),
    reports.length ? el("p", {}, reports) : null,
  );
}

function drawNotes() {
  if (!DATA.notes.length) return null;
  return el("div", { class: "warning", role: "note" }, DATA.notes.map((text) => el("p", {}, text)));
}

function drawVerdict() {
  const verdict = DATA.verdict;
  if (!verdict) return null;
  const old = "This certificate is of another protocol than the run.";
  return el(
    "section",
    { class: `verdict ${verdict.standing}`, "aria-label": "certificate" },
    el("p", { class: "word" }, verdict.word || "no certificate"),
    el("p", { class: "lead" }, verdict.sentence),
    verdict.outdated ? el("p", {}, old) : null,
  );
}

/** The 2 × 2 table: each cell is a button that shows its episodes. */
function drawTable(a, b) {
  const [ours, theirs] = [DATA.arms[a].name, DATA.arms[b].name];
  const counts = { 11: 0, 10: 0, "01": 0, "00": 0 };
  for (const episode of DATA.episodes) {
    const cell = cellOf(episode, a, b);
    if (cell) counts[cell] += 1;
  }
  const words = { 11: "both succeed", 10: `only ${ours} succeeds`, "01": `only ${theirs} succeeds`, "00": "both fail" };
  const button = (cell, number) => {
    const chosen = view.cell === cell;
    const toggle = () => go({ key: "", cell: chosen ? "" : cell });
    const attributes = { type: "button", "aria-pressed": String(chosen), onclick: toggle, "data-cell": cell };
    return el("td", { class: cell === "10" || cell === "01" ? "apart" : null },
      el("button", attributes, el("b", {}, counts[cell]), el("small", {}, words[cell]), el("kbd", {}, number)));
  };
  return el(
    "section",
    { "aria-label": "paired episodes" },
    el("h2", {}, "Pairs"),
    DATA.arms.length > 2 ? drawArmChoice(a, b) : null,
    el("table", { class: "square" },
      el("thead", {}, el("tr", {}, el("td", {}), el("th", { scope: "col" }, `${theirs} succeeds`), el("th", { scope: "col" }, `${theirs} fails`))),
      el("tbody", {},
        el("tr", {}, el("th", { scope: "row" }, `${ours} succeeds`), button("11", 1), button("10", 2)),
        el("tr", {}, el("th", { scope: "row" }, `${ours} fails`), button("01", 3), button("00", 4)))),
  );
}

function drawArmChoice(a, b) {
  const names = DATA.arms.map((arm) => [arm.name, arm.name]);
  return el("div", { class: "filters" },
    choice("arm", DATA.arms[a].name, names, (name) => go({ a: name, cell: "" })),
    choice("against", DATA.arms[b].name, names, (name) => go({ b: name, cell: "" })));
}

function drawArms() {
  const row = (arm, number) => {
    const some = arm.n > 0;
    const missing = [[arm.errors, "missing"], [arm.pending, "pending"]].filter(([count]) => count);
    return el("tr", {},
      el("th", { scope: "row" }, swatch(number), arm.name, arm.role ? el("small", {}, arm.role) : null),
      el("td", { class: "number" }, `${arm.successes}/${arm.n}`),
      el("td", { class: "number" }, some ? percent(arm.successes / arm.n) : "–"),
      el("td", { class: "number" }, some ? `${percent(arm.interval[0])} to ${percent(arm.interval[1])}` : "–"),
      el("td", { class: "number" }, missing.map(([count, word]) => `${count} ${word}`).join(", ") || "0"),
      el("td", { class: "number" }, arm.infer_ms === null ? "–" : `${rounded(arm.infer_ms)} ms`));
  };
  const heads = ["arm", "successes", "rate", "95 % interval", "missing", "inference"];
  return el("section", { "aria-label": "arms" }, el("h2", {}, "Arms"),
    el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "table of arms" }, el("table", {},
      el("thead", {}, el("tr", {}, heads.map((head, i) => el("th", { scope: "col", class: i ? "number" : null }, head)))),
      el("tbody", {}, DATA.arms.map(row)))));
}

const swatch = (arm) => el("i", { class: `swatch arm${Math.min(arm, 5)}`, "aria-hidden": "true" });

function drawTasks() {
  const counts = DATA.tasks.map(() => DATA.arms.map(() => [0, 0]));
  for (const episode of DATA.episodes)
    episode.arms.forEach((result, arm) => {
      if (!ended(result)) return;
      counts[episode.task][arm][1] += 1;
      counts[episode.task][arm][0] += Number(result.outcome === "success");
    });
  const row = (task, number) => {
    const chosen = view.task === String(number);
    const toggle = () => go({ key: "", task: chosen ? "" : String(number) });
    return el("tr", {},
      el("th", { scope: "row" }, el("button", { type: "button", class: "plain", "aria-pressed": String(chosen), onclick: toggle },
        `${task.suite}/${task.name}`, el("small", {}, task.instruction))),
      counts[number].map(([won, n]) => el("td", { class: "number" }, n ? `${won}/${n}` : "–")));
  };
  return el("details", { open: DATA.tasks.length <= 12 || view.task !== "" }, el("summary", {}, `${DATA.tasks.length} tasks`),
    el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "table of tasks" }, el("table", { class: "tasks" },
      el("thead", {}, el("tr", {}, el("th", { scope: "col" }, "task"), DATA.arms.map((arm) => el("th", { scope: "col", class: "number" }, arm.name)))),
      el("tbody", {}, DATA.tasks.map(row)))));
}
