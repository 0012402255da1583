"use strict";
// The page of one episode: its videos in step, the plots under them, and what repeats it.

const EPISODES = new Map();
let page = null; // the shown episode: { players, plots, … }

/** Called by the scripts `episodes/N.js`. */
function takeEpisode(number, details) {
  EPISODES.set(number, details);
}

/** Loads the details of an episode: by a script, since a page from the disk may read no other file. */
function loadEpisode(number, fresh = false) {
  if (EPISODES.has(number) && !fresh) return Promise.resolve(EPISODES.get(number));
  return new Promise((resolve, reject) => {
    const source = `episodes/${number}.js${DATA.server ? `?${Date.now()}` : ""}`;
    const script = el("script", { src: source, onload: () => resolve(EPISODES.get(number)), onerror: () => reject(new Error(source)) });
    document.head.append(script);
    script.remove();
  });
}

function closeEpisode() {
  page?.players.close();
  page = null;
}

/** Draws the page; `content` is filled when the details are there. */
async function drawEpisode(content) {
  const number = DATA.episodes.findIndex((episode) => episode.key === view.key);
  if (number < 0) {
    content.replaceChildren(backLink(), el("p", { class: "warning", role: "alert" }, `There is no episode ${view.key}.`));
    return;
  }
  const episode = DATA.episodes[number];
  if (DATA.server) await orderFilms(number);
  let details;
  try {
    details = await loadEpisode(number, DATA.server);
  } catch (error) {
    content.replaceChildren(backLink(), el("p", { class: "warning", role: "alert" }, `${error.message} cannot be read.`));
    return;
  }
  if (view.key !== episode.key) return; // the reader has gone on
  closeEpisode();
  content.replaceChildren(...buildEpisode(episode, number, details));
  page.players.seek(Number(view.step) || 0);
}

/** Joins what list and details know of each arm, compared arms first. */
function joined(episode, details) {
  const [a, b] = comparedArms();
  const order = [a, b, ...DATA.arms.keys()].filter((arm, i, all) => arm !== null && all.indexOf(arm) === i);
  return order.filter((arm) => episode.arms[arm] !== null && details[arm] !== null).map((arm) => {
    const known = { ...episode.arms[arm], ...details[arm] };
    return { ...known, number: Math.min(arm, 5), name: DATA.arms[arm].name, index: arm, trace: known.trace ? unpack(known.trace) : null,
      horizon: DATA.arms[arm].horizon };
  });
}

function buildEpisode(episode, number, details) {
  const task = DATA.tasks[episode.task];
  const arms = joined(episode, details);
  const last = Math.max(0, ...arms.map((arm) => arm.steps));
  const fps = arms.find((arm) => arm.film)?.film.fps ?? task.hz ?? 30;
  const screens = arms.map((arm) => drawScreen(arm));
  const players = new Players(screens.map((screen, i) => ({ video: screen.video, frames: arms[i].film?.frames ?? 0 })), fps, last, (step) => showStep(step));
  const plots = new Plots(arms, task, last, (step) => players.seek(step));
  const difference = drawDifferenceScreen(arms, screens);
  page = { episode, number, arms, screens, players, plots, fps, last, difference };
  return [
    drawNavigation(episode),
    el("h1", {}, task.instruction || `${task.suite}/${task.name}`),
    el("p", { class: "muted" }, el("code", {}, episode.key)),
    sameScene(arms) ? null : el("p", { class: "warning" }, "The arms began in different scenes, so this is no pair."),
    el("div", { class: "screens" }, screens.map((screen) => screen.figure), difference?.figure),
    drawControls(),
    plots.differ === null ? null : el("p", { class: "differ" }, "Actions first differ at ",
      el("button", { type: "button", onclick: () => players.seek(plots.differ) }, `step ${plots.differ}`)),
    plots.panel,
    ...arms.map(drawFoot),
  ].filter(Boolean);
}

const sameScene = (arms) => new Set(arms.filter(ended).map((arm) => arm.scene)).size < 2;
const backLink = () => el("a", { href: addressOf({ key: "", step: "0", camera: "", mode: "" }) }, "← all episodes");

function drawNavigation(episode) {
  const shown = shownEpisodes();
  const at = shown.indexOf(episode);
  const link = (to, text, rel) => (to ? el("a", { href: addressOf({ key: to.key, step: "0" }), rel }, text) : el("span", { class: "muted" }, text));
  return el("nav", { class: "bar", "aria-label": "episodes" }, backLink(),
    link(shown[at - 1], "‹ previous (k)", "prev"),
    el("span", {}, at < 0 ? "outside of the filters" : `${at + 1} of ${shown.length}`),
    link(shown[at + 1], "next (j) ›", "next"));
}

/** One arm's video, with its outcome and where the pictures come from. */
function drawScreen(arm) {
  const reason = arm.outcome === "success" ? "" : `: ${spaced(arm.reason ?? "")}`;
  const caption = el("figcaption", {}, swatch(arm.number), el("b", {}, arm.name), glyph(arm.outcome),
    el("span", {}, `${arm.outcome}${reason}`), el("small", {}, `${arm.steps} steps, score ${rounded(arm.score)}`));
  const frame = el("div", { class: "frame" });
  let video = null;
  if (arm.film) {
    video = el("video", { src: `media/${arm.film_id}.mp4`, muted: true, playsinline: true, preload: "auto", "aria-label": `video of ${arm.name}` });
    video.muted = true;
    frame.append(video);
    cut(frame, video, arm.film, view.camera);
  } else {
    frame.append(el("p", { class: "empty", "data-film": arm.film_id }, whyNoFilm(arm)));
  }
  const badge = el("span", { class: "badge", hidden: true }, `${arm.outcome} at step ${arm.steps}`);
  frame.append(badge);
  const source = arm.film ? "drawn again from the stored actions: same scene, actions and outcome" : null;
  return { figure: el("figure", { class: "screen" }, caption, frame, source ? el("small", { class: "muted" }, source) : null), frame, video, badge };
}

function whyNoFilm(arm) {
  if (!arm.trace) return `No video: ${arm.without}. The command below shows the episode.`;
  return DATA.server ? filmWords(arm.film_id) : "This video was not exported.";
}

function drawDifferenceScreen(arms, screens) {
  if (screens.length < 2 || !screens[0].video || !screens[1].video) return null;
  const canvas = el("canvas", { role: "img", "aria-label": "difference of the first two videos" });
  const frame = el("div", { class: "frame" }, canvas);
  const figure = el("figure", { class: "screen", hidden: view.mode !== "difference" },
    el("figcaption", {}, el("b", {}, "difference"), el("small", {}, `${arms[0].name} and ${arms[1].name}; black: equal`)), frame);
  cut(frame, canvas, arms[0].film, view.camera);
  const draw = () => figure.hidden || drawDifference(canvas, screens[0].video, screens[1].video);
  for (const { video } of screens.slice(0, 2)) {
    video.addEventListener("seeked", draw);
    video.addEventListener("loadeddata", draw);
  }
  return { figure, frame, canvas, draw };
}

function drawControls() {
  const button = (text, label, onclick) => el("button", { type: "button", "aria-label": label, title: label, onclick }, text);
  const { players, last } = page;
  page.slider = el("input", { type: "range", min: 0, max: last, step: 1, value: 0, "aria-label": "control step", oninput: (event) => players.seek(Number(event.target.value)) });
  page.where = el("output", {});
  page.playButton = button("▶", "play or pause (space)", () => players.toggle());
  const cameras = page.arms.find((arm) => arm.film)?.film.cameras ?? [];
  return el("div", { class: "controls", role: "group", "aria-label": "player" },
    page.playButton,
    button("‹", "one step back (←)", () => players.seek(players.step - 1)),
    button("›", "one step on (→)", () => players.seek(players.step + 1)),
    page.slider, page.where,
    choice("speed", "1", SPEEDS.map((speed) => [String(speed), `${speed}×`]), (speed) => players.setSpeed(Number(speed))),
    cameras.length > 1 ? choice("camera", view.camera, [["", "all"], ...cameras.map((each) => [each.name, each.name])], showCamera) : null,
    page.difference ? el("button", { type: "button", "aria-pressed": String(view.mode === "difference"), onclick: toggleDifference, id: "difference" }, "difference (d)") : null,
    el("button", { type: "button", onclick: showHelp }, "keys (?)"));
}

function showStep(step) {
  if (!page?.slider) return;
  page.slider.value = step;
  page.slider.setAttribute("aria-valuetext", `step ${step} of ${page.last}`);
  page.where.textContent = `step ${step} / ${page.last} · ${(step / page.fps).toFixed(2)} s`;
  page.playButton.textContent = page.players.playing ? "❚❚" : "▶";
  page.arms.forEach((arm, i) => {
    page.screens[i].badge.hidden = step < arm.steps;
  });
  page.plots.at(step);
  if (page.players.playing) page.difference?.draw();
  else note({ step: String(step) });
}

function showCamera(camera) {
  note({ camera });
  page.screens.forEach((screen, i) => screen.video && cut(screen.frame, screen.video, page.arms[i].film, camera));
  if (page.difference) cut(page.difference.frame, page.difference.canvas, page.arms[0].film, camera);
}

function toggleDifference() {
  if (!page?.difference) return;
  const on = view.mode !== "difference";
  note({ mode: on ? "difference" : "" });
  page.difference.figure.hidden = !on;
  document.getElementById("difference").setAttribute("aria-pressed", String(on));
  page.difference.draw();
}

/** What repeats an episode, and what shows that it is the same. */
function drawFoot(arm) {
  const facts = [
    ["inferences", `${arm.inferences}, NFE ${arm.nfe}, up to ${arm.horizon ?? "?"} actions each`],
    ["clipped actions", String(arm.clipped)],
    ...arm.realtime ? virtualFacts(arm.realtime) : [],
    ...Object.entries(arm.counts),
    ["lost attempts", arm.lost.map(spaced).join(", ") || "none"],
    ["scene hash", arm.scene_hash || "–"],
    ["actions hash", arm.actions_sha256 || "–"],
  ];
  const error = arm.error ? el("details", {}, el("summary", {}, `${arm.error.type}: ${arm.error.message}`), el("pre", {}, arm.error.traceback || arm.error.message)) : null;
  return el("section", { class: "foot", "aria-label": arm.name }, el("h2", {}, swatch(arm.number), arm.name), error, command(arm.replay),
    el("dl", { class: "pairs" }, facts.map(([name, value]) => [el("dt", {}, name), el("dd", {}, String(value))])));
}

function virtualFacts(realtime) {
  const total = realtime.ages.reduce((sum, count) => sum + count, 0);
  const mean = realtime.ages.reduce((sum, count, age) => sum + age * count, 0) / Math.max(1, total);
  return [
    ["stalled steps", String(realtime.stalled_ticks)],
    ["age of actions", `mean ${mean.toFixed(1)}, oldest ${Math.max(0, realtime.ages.length - 1)} steps`],
    ["late chunks", String(realtime.late)],
  ];
}
