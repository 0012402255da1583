"use strict";
// Chooses the page by the address, and listens to the keyboard.

const content = document.getElementById("content");

/** Draws the page of the present address, and keeps the focus and the place of the reader. */
async function draw() {
  readAddress();
  if (view.key) {
    await drawEpisode(content);
  } else {
    closeEpisode();
    const scroll = window.scrollY;
    content.replaceChildren(...[...drawTop(), drawList()].filter(Boolean));
    window.scrollTo(0, scroll);
  }
  document.title = `${view.key || DATA.runs[0].protocol} · vlaeval view`;
}

const HELP = [
  ["space", "play or pause"], ["← →", "one step"], ["shift ← →", "one chunk of the first arm"], ["home, end", "first, last step"],
  ["j k", "next, previous episode"], ["c", "next camera"], ["d", "difference of the first two videos"],
  ["1 2 3 4", "cell of the 2 × 2 table"], ["0", "all episodes"], ["esc", "back to the list"], ["?", "this help"],
];

function showHelp() {
  const dialog = el("dialog", { "aria-label": "keys", onclose: () => dialog.remove() },
    el("h2", {}, "Keys"),
    el("dl", { class: "pairs" }, HELP.map(([keys, what]) => [el("dt", {}, el("kbd", {}, keys)), el("dd", {}, what)])),
    el("form", { method: "dialog" }, el("button", {}, "close")));
  document.body.append(dialog);
  dialog.showModal();
}

function neighbour(step) {
  const shown = shownEpisodes();
  const at = shown.findIndex((episode) => episode.key === view.key);
  const to = shown[at + step];
  if (to && at >= 0) go({ key: to.key, step: "0" });
  else if (!view.key && shown.length) go({ key: shown[step > 0 ? 0 : shown.length - 1].key, step: "0" });
}

function nextCamera() {
  const cameras = ["", ...(page?.arms.find((arm) => arm.film)?.film.cameras.map((each) => each.name) ?? [])];
  const next = cameras[(cameras.indexOf(view.camera) + 1) % cameras.length];
  showCamera(next);
  const list = [...document.querySelectorAll(".controls select")].at(-1);
  if (list) list.value = next;
}

const CELLS = { 1: "11", 2: "10", 3: "01", 4: "00" };

function ofEpisode(event) {
  const { players, arms, last } = page;
  const sign = event.key === "ArrowRight" ? 1 : -1;
  if (event.key === " ") players.toggle();
  else if (event.key.startsWith("Arrow")) players.seek(event.shiftKey && arms[0]?.trace ? nextChunk(arms[0].trace, players.step, sign, last) : players.step + sign);
  else if (event.key === "Home") players.seek(0);
  else if (event.key === "End") players.seek(last);
  else if (event.key === "c") nextCamera();
  else if (event.key === "d") toggleDifference();
  else if (event.key === "Escape") location.hash = addressOf({ key: "", step: "0", camera: "", mode: "" });
  else return false;
  return true;
}

/** Handles a key unless the reader types, or a control has a use for it. */
function onKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
  const on = event.target;
  const typing = on.matches("input[type=search], textarea, select");
  const taken = (event.key === " " && on.matches("button, a, summary")) || (event.key.startsWith("Arrow") && on.matches("input[type=range]") && !event.shiftKey);
  if (typing || taken) return;
  if (event.key === "?") showHelp();
  else if (event.key === "j" || event.key === "k") neighbour(event.key === "j" ? 1 : -1);
  else if (!view.key && CELLS[event.key]) go({ cell: view.cell === CELLS[event.key] ? "" : CELLS[event.key] });
  else if (!view.key && event.key === "0") go(CLEARED);
  else if (!page || !["ArrowLeft", "ArrowRight", " ", "Home", "End", "c", "d", "Escape"].includes(event.key) || !ofEpisode(event)) return;
  event.preventDefault();
}

window.addEventListener("hashchange", () => {
  const before = view.key;
  draw().then(() => before !== view.key && (window.scrollTo(0, 0), content.focus({ preventScroll: true })));
});
window.addEventListener("keydown", onKey);
draw();
if (DATA.server) follow();
