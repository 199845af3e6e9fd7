// Plays an event at a constant distance behind the live edge through Media Source Extensions: one loader a track,
// each asking for the next segment before it is made. What is lost is skipped, never waited for.

import { readInit } from './mp4.js';

// How far behind the programme's clock the picture runs. Two segments are always in hand then, so that neither a
// failover nor one segment that is seconds late is seen.
const distance = (duration) => Math.max(2 * duration + 1000, Math.min(3 * duration, 6000));
// What lies this far behind the picture is dropped.
const KEEP_S = 20;
// Drift is corrected by a speed that nobody sees or hears.
const DRIFT_MS = { most: 400, least: 80 };
const SPEED = { normal: 1, faster: 1.03, slower: 0.98 };
// Further behind than this many segments the player joins anew: a tab that slept.
const LOST_SEGMENTS = 5;
const TICK_MS = 100;
// A hole of some lost frames: played over, not counted as an end.
const GAP_S = 0.15;

// One kind of media: its source buffer and the loop that fills it.
class Track {
  #buffer;
  #player;
  #mime;
  #turn = Promise.resolve();
  #stop = new AbortController();

  constructor(player, rendition, next) {
    this.#player = player;
    this.rendition = rendition;
    this.next = next;
    this.#mime = rendition.mime;
    this.#buffer = player.source.addSourceBuffer(rendition.mime);
  }

  // From `next` on with `rendition`, now: a request in progress is dropped.
  redirect(rendition, next) {
    this.rendition = rendition;
    this.next = next;
    this.#stop.abort();
  }

  end() {
    this.ended = true;
    this.#stop.abort();
  }

  async run() {
    while (!this.ended) {
      this.#stop = new AbortController();
      try {
        await this.#begin();
        while (!this.#stop.signal.aborted) await this.#step();
      } catch (error) {
        if (!this.#stop.signal.aborted) throw error;
      }
    }
  }

  async #begin() {
    const { rendition } = this;
    if (rendition.mime !== this.#mime) {
      this.#buffer.changeType(rendition.mime);
      this.#mime = rendition.mime;
    }
    this.#buffer.timestampOffset = this.#player.offset;
    await this.#append(rendition.init);
  }

  async #step() {
    const { rendition, next } = this;
    const { signal } = this.#stop;
    const got = await this.#player.event.segment(rendition.id, next, signal);
    this.#player.tell(got);
    if (!got.gone) await this.#append(got.bytes);
    if (!signal.aborted) this.next = next + 1;
  }

  async #append(bytes) {
    await this.#update(() => this.#buffer.appendBuffer(bytes));
    const old = this.#player.video.currentTime - KEEP_S;
    const { buffered } = this.#buffer;
    if (buffered.length && buffered.start(0) < old - KEEP_S) await this.#update(() => this.#buffer.remove(0, old));
  }

  // Source buffers do one thing at a time.
  #update(act) {
    const done = this.#turn.then(() => new Promise((resolve, reject) => {
      const listen = new AbortController();
      const on = (name, then) => this.#buffer.addEventListener(name, then, { signal: listen.signal });
      on('updateend', () => (listen.abort(), resolve()));
      on('error', () => (listen.abort(), reject(new Error('the browser cannot decode a segment'))));
      act();
    }));
    this.#turn = done.catch(() => {});
    return done;
  }
}

export class Player {
  tracks = {};
  waiting = 0;
  dropped = 0;
  hasStarted = false;
  #joining = false;

  // `heard(segment)` is told of every segment that came, or will not come.
  constructor(video, event, heard) {
    this.video = video;
    this.event = event;
    this.tell = (segment) => {
      if (segment.gone) this.dropped++;
      heard(segment);
    };
    this.heard = heard;
    video.addEventListener('waiting', () => this.hasStarted && !video.seeking && this.waiting++);
    video.addEventListener('playing', () => (this.hasStarted = true));
  }

  // Learns what can be played. Empty until a pipeline has published an init segment.
  async renditions() {
    const all = await Promise.all(this.event.view.renditions.map(async (id) => {
      const init = await this.event.init(id);
      if (!init) return null;
      const facts = readInit(init);
      this.event.timescales.set(id, facts.timescale);
      return { id, init, ...facts };
    }));
    const declared = this.event.document.renditions.map((rendition) => rendition.id);
    const rank = (rendition) => (declared.indexOf(rendition.id) + declared.length) % declared.length;
    return all.filter((rendition) => rendition?.kind).sort((one, other) => rank(one) - rank(other));
  }

  // Joins at the live edge. Fails if the browser cannot play what is there.
  async start(chosen) {
    for (const { codec, id, mime } of chosen) {
      const plays = mime && MediaSource.isTypeSupported(mime);
      if (!plays) throw new Error(`this browser cannot play ${codec ?? 'the codec'} of ${id}`);
    }
    this.source = new MediaSource();
    this.video.src = URL.createObjectURL(this.source);
    await new Promise((resolve) => this.source.addEventListener('sourceopen', resolve, { once: true }));
    this.source.duration = Infinity;
    const first = await this.#firstNumber(chosen[0].id);
    // The browser's timeline begins with the first segment; the programme's is too long for comfort.
    this.base = this.event.start(first);
    this.offset = -(this.base - this.event.epoch) / 1000;
    for (const rendition of chosen) this.tracks[rendition.kind] = new Track(this, rendition, first);
    this.#joining = true;
    setInterval(() => this.#tick(), TICK_MS);
    await Promise.all(Object.values(this.tracks).map((track) => track.run()));
  }

  end() {
    Object.values(this.tracks).forEach((track) => track.end());
  }

  // Goes on with another rendition of the same kind, two segments from here: what is buffered further is replaced.
  choose(rendition) {
    const track = this.tracks[rendition.kind];
    if (!track || track.rendition.id === rendition.id) return;
    track.redirect(rendition, Math.min(track.next, this.number() + 2));
  }

  // The segment on screen.
  number(time = this.video.currentTime) {
    const since = this.base + time * 1000 - this.event.epoch;
    return this.event.document.start_number + Math.floor(since / this.event.duration + 1e-6);
  }

  // How far the picture is behind the programme's clock, in milliseconds.
  latency() {
    return this.event.clock.now() - this.base - this.video.currentTime * 1000;
  }

  // How much is in hand, in milliseconds.
  buffer() {
    const { buffered, currentTime } = this.video;
    let end = currentTime;
    for (let i = 0; i < buffered.length; i++) {
      if (buffered.start(i) - GAP_S <= end) end = Math.max(end, buffered.end(i));
    }
    return (end - currentTime) * 1000;
  }

  // The oldest segment worth having for a start at the usual distance, or the oldest after it that is there.
  async #firstNumber(id) {
    const current = this.event.current();
    const oldest = current - Math.ceil(distance(this.event.duration) / this.event.duration);
    for (let number = Math.max(oldest, this.event.document.start_number); number < current; number++) {
      if (await this.event.peek(id, number)) return number;
    }
    return current;
  }

  #target() {
    return (this.event.clock.now() - distance(this.event.duration) - this.base) / 1000;
  }

  #tick() {
    if (this.#joining) return this.#join();
    const behind = this.latency() - distance(this.event.duration);
    if (behind > LOST_SEGMENTS * this.event.duration) return this.#rejoin();
    this.#steer(behind);
    this.#jump();
  }

  // Begins to play once what should be on screen now is there.
  #join() {
    const target = this.#target();
    const { buffered } = this.video;
    for (let i = 0; i < buffered.length; i++) {
      if (buffered.start(i) - 0.01 <= target && target < buffered.end(i) - 0.5) {
        this.#joining = false;
        this.video.currentTime = Math.max(target, buffered.start(i));
        this.video.play().catch(() => {});
        return;
      }
    }
    // The start was slower than the stream: catch up with it.
    if (Object.values(this.tracks).every((track) => track.next < this.number(target) - 1)) this.#rejoin();
  }

  #rejoin() {
    this.#joining = true;
    const next = this.event.current() - Math.ceil(distance(this.event.duration) / this.event.duration);
    Object.values(this.tracks).forEach((track) => track.redirect(track.rendition, next));
  }

  #steer(behind) {
    const { video } = this;
    const steering = video.playbackRate !== SPEED.normal;
    if (behind > DRIFT_MS.most && this.buffer() > this.event.duration) video.playbackRate = SPEED.faster;
    else if (behind < -DRIFT_MS.most) video.playbackRate = SPEED.slower;
    else if (steering && Math.abs(behind) < DRIFT_MS.least) video.playbackRate = SPEED.normal;
  }

  // Over a hole that will not be filled.
  #jump() {
    const { buffered, currentTime } = this.video;
    for (let i = 0; i < buffered.length; i++) {
      if (buffered.start(i) <= currentTime && currentTime < buffered.end(i) - GAP_S) return;
      if (buffered.start(i) > currentTime) {
        this.video.currentTime = buffered.start(i) + 0.01;
        return;
      }
    }
  }
}
