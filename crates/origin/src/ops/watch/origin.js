// Talks to the origin: what time it is there, which segment is being made, and segments themselves with the answers
// that a live origin gives (not yet, never, ask again). Knows nothing of playback.

// A segment that was not there this much after its time counts as late.
export const LATE_MS = 500;
// A request for the segment being made is sent this long before its time: the origin holds it until it is there.
const ASK_AHEAD_MS = 1500;
const RETRY_MS = { least: 100, first: 250, most: 2000 };

export function pause(ms, signal) {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason);
    const stop = () => (clearTimeout(timer), reject(signal.reason));
    const timer = setTimeout(() => (signal?.removeEventListener('abort', stop), resolve()), Math.max(0, ms));
    signal?.addEventListener('abort', stop, { once: true });
  });
}

async function getJson(url) {
  const response = await fetch(url, { cache: 'no-store' });
  if (!response.ok) throw Object.assign(new Error(`${url}: ${response.status}`), { status: response.status });
  return response.json();
}

// The origin's clock as this page knows it. Follows the page's monotonic clock in between.
export class ServerClock {
  #offset = Date.now() - performance.now();
  #spread = Infinity;

  now() {
    return performance.now() + this.#offset;
  }

  // Keeps the answer that took the shortest way: it is off by half its round trip at most.
  learn(time, asked, answered) {
    const spread = answered - asked;
    if (spread > this.#spread) return;
    this.#spread = spread;
    this.#offset = Date.parse(time) - (asked + answered) / 2;
  }
}

export class Origin {
  clock = new ServerClock();
  #deliver = null;

  // The deliver listener's URL. One that listens everywhere is called by the name that this page was called by.
  async connect() {
    const asked = performance.now();
    const status = await getJson('/v1/status');
    this.clock.learn(status.time, asked, performance.now());
    const deliver = new URL(status.deliver);
    if (['0.0.0.0', '[::]'].includes(deliver.hostname)) deliver.hostname = location.hostname;
    this.#deliver = deliver.origin;
    return status;
  }

  events(tenant) {
    return getJson(`/v1/tenants/${encodeURIComponent(tenant)}/events`);
  }

  async event(tenant, name) {
    const view = await getJson(`/v1/tenants/${encodeURIComponent(tenant)}/events/${encodeURIComponent(name)}`);
    return new LiveEvent(view, `${this.#deliver}/${tenant}/${name}`, this.clock);
  }
}

export class LiveEvent {
  timescales = new Map();

  constructor(view, url, clock) {
    this.view = view;
    this.url = url;
    this.clock = clock;
    this.document = view.document;
    this.duration = (this.document.segment.duration / this.document.segment.timescale) * 1000;
    this.epoch = Date.parse(this.document.availability_start_time);
  }

  // When segment `number` begins, in milliseconds on the programme's own clock.
  start(number) {
    return this.epoch + (number - this.document.start_number) * this.duration;
  }

  // When it is expected to be published: E(n).
  due(number) {
    return this.start(number + 1) + this.document.publish_delay_ms;
  }

  // The segment that is being made.
  current() {
    const elapsed = this.clock.now() - this.document.publish_delay_ms - this.epoch;
    return this.document.start_number + Math.max(0, Math.floor(elapsed / this.duration));
  }

  initUrl(rendition) {
    return `${this.url}/${this.#fill(this.document.init, rendition, 0)}`;
  }

  mediaUrl(rendition, number) {
    return `${this.url}/${this.#fill(this.document.media, rendition, number)}`;
  }

  #fill(template, rendition, number) {
    const { duration, timescale } = this.document.segment;
    const time = () => {
      const units = BigInt(number - this.document.start_number) * BigInt(duration);
      return (units * BigInt(this.timescales.get(rendition) ?? 1)) / BigInt(timescale);
    };
    return template
      .replaceAll('$RepresentationID$', rendition)
      .replaceAll(/\$Number(?:%0(\d+)d)?\$/g, (_, width) => String(number).padStart(Number(width ?? 1), '0'))
      .replaceAll('$Time$', time);
  }

  // An init segment's bytes, or null while there is none.
  async init(rendition) {
    const response = await fetch(this.initUrl(rendition), { cache: 'no-store' });
    return response.ok ? response.arrayBuffer() : null;
  }

  // The segment if it is there now; null if it is not. Never waits long: for joining.
  async peek(rendition, number) {
    const patience = new AbortController();
    const timer = setTimeout(() => patience.abort(), 700);
    try {
      const response = await fetch(this.mediaUrl(rendition, number), { cache: 'no-store', signal: patience.signal });
      clearTimeout(timer);
      return response.ok ? await this.#read(response, rendition, number) : null;
    } catch {
      return null;
    }
  }

  // Waits for the segment's turn, then asks until the origin gives it or says that there will be none.
  async segment(rendition, number, signal) {
    const ahead = Math.min(this.duration, ASK_AHEAD_MS, this.document.hold_max_ms / 2);
    await pause(this.due(number) - ahead - this.clock.now(), signal);
    const asked = this.clock.now();
    for (let failures = 0, tries = 0; ; tries++) {
      let wait;
      try {
        const response = await fetch(this.mediaUrl(rendition, number), { cache: 'no-store', signal });
        if (response.ok) return await this.#read(response, rendition, number, asked, tries);
        if (response.status !== 404 && response.status !== 503) {
          return { rendition, number, gone: true, ...this.#facts(response) };
        }
        failures = 0;
        wait = this.#ttl(response);
      } catch (error) {
        if (signal.aborted) throw error;
        wait = Math.min(RETRY_MS.first * 2 ** failures++, RETRY_MS.most);
      }
      await pause(wait, signal);
    }
  }

  // `asked` is when it was first asked for, `tries` how many answers said that it was not there.
  async #read(response, rendition, number, asked = Infinity, tries = 0) {
    const bytes = await response.arrayBuffer();
    const facts = this.#facts(response);
    const lateMs = this.clock.now() - this.due(number);
    const late = lateMs > LATE_MS && (tries > 0 || facts.outcome === 'held');
    return { rendition, number, bytes, waited: asked < this.due(number), lateMs, late, ...facts };
  }

  #facts(response) {
    const header = (name) => response.headers.get(name);
    return {
      pipeline: header('Headwater-Pipeline'),
      outcome: header('Headwater-Outcome') ?? String(response.status),
      defects: header('Headwater-Defects'),
    };
  }

  // When the answer says to ask again, in milliseconds.
  #ttl(response) {
    const seconds = (name, pattern) => Number(response.headers.get(name)?.match(pattern)?.[1] ?? NaN) * 1000;
    const exact = Number(response.headers.get('Headwater-Max-Age-Ms') ?? NaN);
    const told = [exact, seconds('Retry-After', /^(\d+)$/), seconds('Cache-Control', /max-age=(\d+)/)];
    const ttl = told.find((value) => Number.isFinite(value)) ?? RETRY_MS.first;
    return Math.min(Math.max(ttl, RETRY_MS.least), RETRY_MS.most);
  }
}
