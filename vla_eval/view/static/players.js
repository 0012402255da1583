"use strict";
// Videos of one episode by several arms, on one clock in control steps. Frame i is the scene after i steps.

const SPEEDS = [0.1, 0.25, 0.5, 1, 2, 4];

class Players {
  /**
   * @param {{video: HTMLVideoElement | null, frames: number}[]} screens the arms' videos, where there are any
   * @param {number} fps control rate, Hz
   * @param {number} last the last step of the longest arm
   * @param {(step: number) => void} onstep called with every new step
   */
  constructor(screens, fps, last, onstep) {
    Object.assign(this, { screens, fps, last, onstep });
    this.step = 0;
    this.speed = 1;
    this.playing = false;
    this.base = { at: 0, step: 0 };
    this.tick = this.tick.bind(this);
    this.waiting = new Map(); // seeks that came while a video was still seeking
    for (const { video } of screens) video?.addEventListener("seeked", () => this.settle(video));
  }

  get videos() {
    return this.screens.filter((screen) => screen.video !== null);
  }

  /** Shows a step in all videos; a shorter episode stays on its last frame. */
  seek(step) {
    this.step = Math.max(0, Math.min(this.last, Math.round(step)));
    this.base = { at: performance.now(), step: this.step };
    for (const screen of this.videos) this.place(screen, this.step);
    this.onstep(this.step);
  }

  /** Seeks to the middle of a frame: at its edge, rounding decides which one is shown. */
  place({ video, frames }, step) {
    const time = (Math.min(Math.floor(step), frames - 1) + 0.5) / this.fps;
    if (video.seeking) this.waiting.set(video, time);
    else video.currentTime = time;
  }

  settle(video) {
    const time = this.waiting.get(video);
    this.waiting.delete(video);
    if (time !== undefined) video.currentTime = time;
  }

  toggle() {
    if (this.playing) this.pause();
    else this.play();
  }

  play() {
    if (this.step >= this.last) this.seek(0);
    this.playing = true;
    this.base = { at: performance.now(), step: this.step };
    for (const { video, frames } of this.videos) {
      video.playbackRate = this.speed;
      if (this.step < frames - 1) video.play().catch(() => {});
    }
    requestAnimationFrame(this.tick);
    this.onstep(this.step);
  }

  pause() {
    this.playing = false;
    for (const { video } of this.videos) video.pause();
    this.seek(this.step);
  }

  setSpeed(speed) {
    this.speed = speed;
    this.base = { at: performance.now(), step: this.step };
    for (const { video } of this.videos) video.playbackRate = speed;
  }

  /** One picture of the screen: the clock leads, and waits while a video is not ready. */
  tick(now) {
    if (!this.playing) return;
    const exact = this.base.step + (Math.max(0, now - this.base.at) / 1000) * this.fps * this.speed;
    if (this.videos.some(({ video }) => video.seeking || video.readyState < 2)) {
      this.base = { at: now, step: Math.min(exact, this.step + 0.999) };
    } else if (exact >= this.last) {
      this.step = this.last;
      this.pause();
      return;
    } else {
      this.step = Math.floor(exact);
      for (const screen of this.videos) this.follow(screen, exact);
      this.onstep(this.step);
    }
    requestAnimationFrame(this.tick);
  }

  follow(screen, exact) {
    const { video, frames } = screen;
    if (exact >= frames - 1) {
      if (!video.paused) {
        video.pause();
        this.place(screen, frames - 1);
      }
    } else if (Math.abs(video.currentTime - (exact + 0.5) / this.fps) > 1.5 / this.fps) {
      video.currentTime = (exact + 0.5) / this.fps;
    }
  }

  /** Stops for good: the page shows something else. */
  close() {
    this.playing = false;
    for (const { video } of this.videos) {
      video.pause();
      video.removeAttribute("src");
      video.load();
    }
  }
}

/** Shows one camera of a film, or all of them side by side, by cutting the frame with CSS. */
function cut(frame, video, film, camera) {
  const total = film.cameras.reduce((sum, each) => sum + each.width, 0);
  const chosen = film.cameras.findIndex((each) => each.name === camera);
  const left = film.cameras.slice(0, Math.max(0, chosen)).reduce((sum, each) => sum + each.width, 0);
  const width = chosen < 0 ? total : film.cameras[chosen].width;
  frame.style.aspectRatio = `${width} / ${film.height}`;
  video.style.width = `${(100 * total) / width}%`;
  video.style.marginLeft = `${(-100 * left) / width}%`;
}

/** Draws the difference of two videos: black where they show the same. */
function drawDifference(canvas, one, other) {
  if (!one.videoWidth || !other.videoWidth) return;
  if (canvas.width !== one.videoWidth) Object.assign(canvas, { width: one.videoWidth, height: one.videoHeight });
  const pen = canvas.getContext("2d");
  pen.globalCompositeOperation = "copy";
  pen.drawImage(one, 0, 0);
  pen.globalCompositeOperation = "difference";
  pen.drawImage(other, 0, 0);
}
