// Draws what the page knows: the strips of segments, the figures, the sentence about now. Never decides anything.

const COLUMNS = 30;
const SCREEN_MARKS = [
  ['held', 'asked for before it was there'],
  ['late', 'late'],
  ['defective', 'defective'],
  ['missing', 'missing'],
];

export const byId = (id) => document.getElementById(id);

export function make(tag, props = {}, ...children) {
  const element = Object.assign(document.createElement(tag), props);
  element.append(...children);
  return element;
}

// Pipelines have a colour each, in the event's order.
export class Colours {
  constructor(pipelines) {
    this.names = pipelines;
  }

  of(pipeline) {
    const rank = this.names.indexOf(pipeline);
    return rank < 0 ? '' : `pipeline-${'abcd'[rank % 4]}`;
  }
}

const seconds = (ms) => `${(ms / 1000).toFixed(1)} s`;
const signed = (ms) => (ms < 0 ? `${Math.round(-ms)} ms early` : `${Math.round(ms)} ms after its time`);

function marks(segment) {
  if (segment.gone) return ['missing'];
  const found = [];
  if (segment.outcome === 'held') found.push('held');
  if (segment.late) found.push('late');
  if (segment.defects) found.push('defective');
  return found;
}

function describe(segment) {
  const name = `Segment ${segment.number} of ${segment.rendition}`;
  if (segment.gone) return `${name}: ${segment.outcome}`;
  const parts = [`pipeline ${segment.pipeline?.toUpperCase()}`, segment.outcome];
  if (segment.defects) parts.push(segment.defects);
  if (segment.waited) parts.push(signed(segment.lateMs));
  return `${name}: ${parts.join(', ')}`;
}

// A row of the newest segments for each rendition that has been played.
export class Strips {
  #rows = new Map();
  #segments = new Map();

  // `order` lists the renditions from top to bottom.
  constructor(event, order, colours) {
    this.event = event;
    this.order = order;
    this.colours = colours;
    this.root = byId('strips');
    const legend = colours.names.map((name) => this.#sample(colours.of(name), name.toUpperCase(), `pipeline ${name.toUpperCase()}`));
    const own = colours.of(colours.names[0]);
    for (const [mark, words] of SCREEN_MARKS) {
      legend.push(this.#sample(`${mark} ${mark === 'missing' ? '' : own}`, mark === 'missing' ? '×' : '', words));
    }
    byId('legend').replaceChildren(...legend);
  }

  #sample(classes, letter, words) {
    const cell = make('span', { className: `cell ${classes}`, textContent: letter, ariaHidden: 'true' });
    return make('li', {}, cell, words);
  }

  add(segment) {
    const known = this.#segments.get(segment.rendition) ?? new Map();
    known.set(segment.number, segment);
    known.delete(segment.number - 4 * COLUMNS);
    this.#segments.set(segment.rendition, known);
    if (!this.#rows.has(segment.rendition)) this.#addRow(segment.rendition);
  }

  #addRow(rendition) {
    const cells = Array.from({ length: COLUMNS }, () => make('span', { className: 'cell' }));
    const box = make('div', { className: 'cells', role: 'img' }, ...cells);
    const name = make('span', { className: 'name', textContent: rendition });
    this.#rows.set(rendition, { row: make('div', { className: 'strip' }, name, box), box, cells });
    const inOrder = this.order.filter((id) => this.#rows.has(id)).map((id) => this.#rows.get(id).row);
    this.root.replaceChildren(...inOrder);
  }

  // `shown` is the segment on screen, `playing` the renditions that are played; the newest stands at the right.
  draw(shown, playing) {
    const newest = this.event.current();
    const done = 1 - (this.event.due(newest) - this.event.clock.now()) / this.event.duration;
    for (const [rendition, { box, cells }] of this.#rows) {
      const segments = this.#segments.get(rendition);
      const active = playing.includes(rendition);
      let missing = 0;
      cells.forEach((cell, index) => {
        const number = newest - COLUMNS + 1 + index;
        const segment = segments.get(number);
        const coming = active && !segment && number >= newest - 1;
        const classes = segment ? [this.colours.of(segment.pipeline), ...marks(segment)] : coming ? ['coming'] : [];
        if (active && number === shown) classes.push('shown');
        if (segment?.gone) missing++;
        set(cell, 'className', ['cell', ...classes].join(' '));
        set(cell, 'textContent', segment ? (segment.gone ? '×' : segment.pipeline?.toUpperCase() ?? '') : '');
        set(cell, 'title', segment ? describe(segment) : '');
        if (coming) cell.style.setProperty('--done', number < newest ? 1 : done.toFixed(2));
      });
      const last = [...segments.values()].at(-1);
      const summary = `${rendition}: the last ${COLUMNS} segments, ${missing} missing, the newest from pipeline ${last?.pipeline?.toUpperCase()}`;
      if (box.ariaLabel !== summary) box.ariaLabel = summary;
    }
  }

  // The newest known segment of `rendition` up to `number`.
  at(rendition, number) {
    return this.#segments.get(rendition)?.get(number);
  }
}

function set(element, property, value) {
  if (element[property] !== value) element[property] = value;
}

export function drawFacts(player) {
  const started = player.hasStarted;
  set(byId('latency'), 'textContent', started ? seconds(player.latency()) : '–');
  set(byId('buffer'), 'textContent', started ? seconds(player.buffer()) : '–');
  set(byId('segment'), 'textContent', started ? String(player.number()) : '–');
  set(byId('stalls'), 'textContent', String(player.waiting));
  set(byId('skipped'), 'textContent', String(player.dropped));
}

export function notice(text) {
  set(byId('notice'), 'textContent', text);
}

// The one sentence that says what a viewer sees. `lines` is null without a rig; `unharmed` if nothing was lost so far.
export function drawNow(segment, lines, colours, unharmed) {
  if (!segment?.pipeline) return;
  const name = (pipeline) => pipeline.toUpperCase();
  const seen = segment.pipeline;
  const badge = byId('now-badge');
  set(badge, 'className', `badge ${colours.of(seen)}`);
  set(badge, 'textContent', name(seen));
  set(byId('now'), 'textContent', sentence(seen, segment, lines, name, unharmed));
}

function sentence(seen, segment, lines, name, unharmed) {
  if (segment.defects) return `You are watching ${name(seen)}, with a defect: no other pipeline has better.`;
  const down = (lines ?? []).filter((line) => !line.alive).map((line) => line.pipeline);
  const hurt = (lines ?? []).filter((line) => line.alive && line.damage).map((line) => line.pipeline);
  if (lines && down.length === lines.length) return 'Every pipeline is down. Revive one to go on.';
  if (down.includes(seen)) return `${name(seen)} is down. Its last segments play out, then the others take over.`;
  if (down.length) return `${down.map(name).join(' and ')} is down. You are watching ${name(seen)}${unharmed ? ' and missed nothing' : ''}.`;
  if (hurt.includes(seen)) return `${name(seen)} is failing. Its last good segments play out.`;
  if (hurt.length) return `${hurt.map(name).join(' and ')} is failing. You are watching ${name(seen)} instead.`;
  return lines ? `All pipelines are well. You are watching ${name(seen)}.` : `You are watching pipeline ${name(seen)}.`;
}
