// The pipelines with their state and, where a rig answers at /demo/status, the buttons that break them.

import { byId, make } from './view.js';

const POLL_MS = 1000;
// How many segments a click damages: enough to see it, and it heals by itself.
const SEGMENTS = 6;
const FAULTS = [
  ['short', 'lost frames'],
  ['missing', 'no segments'],
  ['late', '3 s late'],
  ['shifted', 'wrong times'],
  ['garbled', 'broken boxes'],
  ['incomplete', 'cut-off bytes'],
  ['filler', 'a slate'],
  ['truncated', 'cut-off uploads'],
];

export class Controls {
  // What the rig last said of each pipeline; null without a rig.
  lines = null;
  #cards = new Map();

  constructor(pipelines, colours) {
    const cards = pipelines.map((name) => this.#card(name, colours.of(name)));
    byId('pipelines').replaceChildren(...cards);
  }

  #card(name, colour) {
    const state = make('span', { className: 'state unknown', textContent: 'nothing served yet' });
    const label = name.toUpperCase();
    const title = make('h2', {}, make('span', {}, 'Pipeline ', make('b', { textContent: label })), state);
    const kill = make('button', { id: `kill-${name}`, className: 'kill', type: 'button', textContent: 'Kill', ariaLabel: `Kill pipeline ${label}` });
    const revive = make('button', { id: `revive-${name}`, type: 'button', textContent: 'Revive', ariaLabel: `Revive pipeline ${label}` });
    const kinds = FAULTS.map(([value, text]) => make('option', { value, textContent: text }));
    const kind = make('select', { id: `damage-kind-${name}`, ariaLabel: `What pipeline ${label} does wrong` }, ...kinds);
    const damage = make('button', { id: `damage-${name}`, type: 'button', textContent: 'Damage', ariaLabel: `Damage pipeline ${label}` });
    damage.title = `The next ${SEGMENTS} segments`;
    const harm = make('span', { className: 'harm' }, kind, damage);
    const buttons = make('div', { className: 'buttons', hidden: true }, kill, revive, harm);
    kill.addEventListener('click', () => this.#order(name, 'kill'));
    revive.addEventListener('click', () => this.#order(name, 'revive'));
    damage.addEventListener('click', () => {
      const { damage: current } = this.#line(name) ?? {};
      this.#order(name, 'damage', current ? { fault: 'none' } : { fault: kind.value, segments: SEGMENTS });
    });
    this.#cards.set(name, { state, kill, revive, kind, damage, buttons });
    return make('section', { className: `pipeline ${colour}`, ariaLabel: `Pipeline ${label}` }, title, buttons);
  }

  #line(name) {
    return this.lines?.find((line) => line.pipeline === name);
  }

  async #order(name, action, body) {
    const headers = { 'Content-Type': 'application/json' };
    const request = { method: 'POST', headers, body: body && JSON.stringify(body) };
    await fetch(`/demo/pipelines/${name}/${action}`, request).catch(() => {});
    await this.poll();
  }

  // Asks the rig. False if there is none.
  async poll() {
    try {
      const response = await fetch('/demo/status', { cache: 'no-store' });
      if (response.status === 404) return false;
      if (response.ok) this.lines = (await response.json()).pipelines;
    } catch {
      // The origin is away; what was last known stays.
    }
    this.#draw();
    return true;
  }

  async follow() {
    if (await this.poll()) setInterval(() => this.poll(), POLL_MS);
  }

  // Without a rig a pipeline is known by what came of it.
  heard(segment) {
    const card = this.#cards.get(segment.pipeline);
    if (this.lines || !card) return;
    card.state.className = segment.defects ? 'state damaged' : 'state';
    card.state.textContent = `served segment ${segment.number}`;
  }

  #draw() {
    for (const line of this.lines ?? []) {
      const card = this.#cards.get(line.pipeline);
      if (!card) continue;
      const words = FAULTS.find(([value]) => value === line.damage?.fault)?.[1] ?? '';
      const [state, text] = !line.alive ? ['dead', 'down'] : line.damage ? ['damaged', `damaged: ${words}`] : ['', 'publishing'];
      card.state.className = `state ${state}`;
      if (card.state.textContent !== text) card.state.textContent = text;
      card.buttons.hidden = false;
      card.kill.disabled = !line.alive;
      card.revive.disabled = line.alive;
      card.damage.disabled = !line.alive;
      card.kind.disabled = !line.alive || Boolean(line.damage);
      card.damage.textContent = line.damage ? 'Heal' : 'Damage';
    }
  }
}
