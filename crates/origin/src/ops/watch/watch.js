// The watch page: finds the event, plays it, and shows segment by segment where the picture comes from. What tests
// look at is `window.headwater`.

import { Controls } from './controls.js';
import { Origin, pause } from './origin.js';
import { Player } from './player.js';
import { Colours, Strips, byId, drawFacts, drawNow, make, notice } from './view.js';

const DRAW_MS = 100;
const SEGMENTS_KEPT = 600;

const state = {
  segments: [],
  waiting: 0,
  dropped: 0,
  playing: false,
  error: null,
  currentTime: () => byId('video').currentTime,
};
window.headwater = state;

function fail(error) {
  console.error(error);
  state.error = String(error?.message ?? error);
  notice(`Cannot play: ${state.error}.`);
}

// Tenant and event of `?event=/live/demo`.
function wanted() {
  const named = new URLSearchParams(location.search).get('event');
  const [tenant, name] = (named ?? '/live/demo').replace(/^\//, '').split('/');
  return { tenant, name, named: named !== null };
}

async function findEvent(origin) {
  const { tenant, name, named } = wanted();
  if (name) {
    try {
      return await origin.event(tenant, name);
    } catch (error) {
      if (error.status !== 404 && error.status !== 400) throw error;
    }
  }
  await choose(origin, tenant, named);
  return null;
}

// A list of what there is.
async function choose(origin, tenant, named) {
  const events = await origin.events(tenant).catch(() => []);
  const links = events.map(({ tenant, event }) => {
    const path = `/${tenant}/${event}`;
    return make('li', {}, make('a', { href: `?event=${path}`, textContent: path }));
  });
  const none = make('li', { textContent: 'There is no event yet. Publish one, then reload this page.' });
  byId('events').replaceChildren(...(links.length ? links : [none]));
  byId('chooser').hidden = false;
  document.querySelectorAll('.stage, .side, .river').forEach((section) => (section.hidden = true));
  if (named) byId('intro').textContent = `There is no event ${new URLSearchParams(location.search).get('event')}.`;
}

// Waits until there is a picture to be had.
async function awaitRenditions(origin, player) {
  for (;;) {
    const all = await player.renditions();
    if (all.some((rendition) => rendition.kind === 'video')) return all;
    notice('Waiting for a pipeline to publish …');
    await pause(1000);
    const { tenant, event } = player.event.view;
    player.event = await origin.event(tenant, event);
  }
}

function offerQualities(player, videos) {
  const select = byId('quality');
  const options = videos.map(({ id }) => make('option', { value: id, textContent: id }));
  select.replaceChildren(...options);
  select.addEventListener('change', () => player.choose(videos.find(({ id }) => id === select.value)));
}

function offerSound(video) {
  const button = byId('sound');
  button.hidden = false;
  button.addEventListener('click', () => {
    video.muted = !video.muted;
    button.textContent = video.muted ? 'Sound on' : 'Sound off';
    button.ariaPressed = String(!video.muted);
  });
}

function explain(event, controls) {
  const names = event.document.pipelines;
  const count = ['No', 'One', 'Two', 'Three', 'Four'][names.length] ?? names.length;
  const each = (event.duration / 1000).toFixed(2).replace(/0+$/, '').replace(/\.$/, '');
  byId('explain').textContent = `Each block is ${each} s of the programme, coloured by the pipeline it came from. The framed one is on screen; those right of it are in hand.`;
  if (!controls.lines) return;
  const [first] = names.map((name) => name.toUpperCase());
  byId('intro').replaceChildren(
    `${count} pipelines publish the same programme; you see one stream. `,
    make('b', { textContent: `Kill ${first} and keep watching.` }),
  );
}

async function run() {
  const origin = new Origin();
  await origin.connect();
  const event = await findEvent(origin);
  if (!event) return;
  const colours = new Colours(event.document.pipelines);
  const controls = new Controls(event.document.pipelines, colours);
  await controls.follow();
  explain(event, controls);
  let strips = null;
  const video = byId('video');
  const player = new Player(video, event, (segment) => {
    const { number, rendition, pipeline, outcome } = segment;
    state.segments.push({ number, rendition, pipeline, outcome });
    state.segments.splice(0, state.segments.length - SEGMENTS_KEPT);
    strips.add(segment);
    controls.heard(segment);
  });
  video.addEventListener('error', () => fail(video.error));

  const renditions = await awaitRenditions(origin, player);
  const [first, ...more] = ['video', 'audio'].map((kind) => renditions.filter((rendition) => rendition.kind === kind));
  strips = new Strips(event, renditions.map(({ id }) => id), colours);
  offerQualities(player, first);
  if (more[0]?.length) offerSound(video);
  notice('Joining the live edge …');
  setInterval(() => draw(player, strips, controls, colours), DRAW_MS);
  setInterval(() => origin.connect().catch(() => {}), 60_000);
  await player.start([first[0], ...more.flatMap((kind) => kind.slice(0, 1))]);
}

function draw(player, strips, controls, colours) {
  const { video } = player;
  state.waiting = player.waiting;
  state.dropped = player.dropped;
  state.playing = player.hasStarted && !video.paused && video.readyState > 2;
  const shown = player.hasStarted ? player.number() : null;
  strips.draw(shown, Object.values(player.tracks).map((track) => track.rendition.id));
  drawFacts(player);
  if (!player.hasStarted || state.error) return;
  drawNow(strips.at(player.tracks.video.rendition.id, shown), controls.lines, colours, !player.waiting && !player.dropped);
  notice(video.readyState > 2 ? '' : 'Waiting for the next segment …');
}

run().catch(fail);
