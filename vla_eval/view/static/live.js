"use strict";
// With `vlaeval view` behind the page: films are made on demand, and a run that is going on is followed.

const EVERY_MS = 2000;
const FILMS = { failed: {}, running: [], queued: 0 };

async function ask(path, options = {}) {
  const answer = await fetch(path, { cache: "no-store", ...options });
  if (!answer.ok) throw new Error(`${path}: ${answer.status}`);
  return answer.json();
}

/** Asks for the films of an episode, of all arms. */
async function orderFilms(number) {
  try {
    take(await ask(`order/${number}`, { method: "POST", headers: { "X-Viewer": "1" } }));
  } catch {
    speak("the viewer's server does not answer");
  }
}

function filmWords(film) {
  if (FILMS.failed[film]) return `No video: ${FILMS.failed[film]}`;
  if (FILMS.running.includes(film)) return "The video is being made …";
  return `The video is queued: ${FILMS.queued} before it or with it.`;
}

function take(news) {
  Object.assign(FILMS, { failed: news.failed, running: news.running, queued: news.queued });
  DATA.films = news.films;
}

/** Asks for news again and again, and draws what changed. */
async function follow() {
  try {
    const before = new Set(DATA.films);
    const news = await ask("live.json");
    take(news);
    showProgress(news);
    if (news.version !== DATA.version) await refresh();
    else if (news.films.some((film) => !before.has(film))) redraw();
    for (const place of document.querySelectorAll("[data-film]")) place.textContent = filmWords(place.dataset.film);
  } catch {
    showProgress(null);
  }
  setTimeout(follow, EVERY_MS);
}

/** New films: the list gets their thumbnails, an open episode its video. */
function redraw() {
  const waiting = [...document.querySelectorAll("[data-film]")].map((place) => place.dataset.film);
  if (view.key === "" ? true : waiting.some((film) => DATA.films.includes(film))) draw();
}

async function refresh() {
  const news = await ask("data.json");
  Object.assign(DATA, news);
  EPISODES.clear();
  if (view.key === "") draw();
}

function showProgress(news) {
  const place = document.getElementById("live");
  if (!place) return;
  if (news === null) {
    place.replaceChildren(el("p", { class: "warning", role: "alert" }, "The viewer's server has ended: start `vlaeval view` again."));
    return;
  }
  const films = news.running.length + news.queued;
  const parts = [];
  if (!news.complete) parts.push(`${news.done} of ${news.planned} episodes, ${news.errors} errors, remaining time ${duration(news.eta_s)}`);
  if (films) parts.push(`${films} videos are being made`);
  place.replaceChildren(...parts.map((text) => el("p", { class: "progress", role: "status" }, text)));
  if (!news.complete) place.append(el("progress", { max: news.planned, value: news.done, "aria-label": "episodes done" }));
}
