// Reads what Media Source Extensions must be told about an init segment: the kind of its track, its codec string
// (RFC 6381) and its timescale. Never reads media.

// Boxes that only hold boxes; the number is how many bytes of fields come first.
const CONTAINERS = { moov: 0, trak: 0, mdia: 0, minf: 0, stbl: 0, stsd: 8, avc1: 78, avc3: 78, mp4a: 28 };
const VIDEO_ENTRIES = ['avc1', 'avc3'];

const hex = (byte) => byte.toString(16).padStart(2, '0');

// Calls `visit(kind, payload)` for every box, outer ones first.
function walk(bytes, visit) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let at = 0; at + 8 <= bytes.length; ) {
    const size = view.getUint32(at);
    const kind = String.fromCharCode(...bytes.subarray(at + 4, at + 8));
    if (size < 8 || at + size > bytes.length) return;
    const payload = bytes.subarray(at + 8, at + size);
    visit(kind, payload);
    if (kind in CONTAINERS) walk(payload.subarray(CONTAINERS[kind]), visit);
    at += size;
  }
}

// The audio object type of an `esds` (ISO/IEC 14496-1 §7.2.6): descriptors nest as tag, length, payload.
function audioObjectType(esds) {
  let at = 4;
  const descriptor = (tag) => {
    if (esds[at++] !== tag) return false;
    while (esds[at++] & 0x80);
    return true;
  };
  if (!descriptor(3)) return null;
  const flags = esds[at + 2];
  at += 3 + (flags & 0x80 ? 2 : 0) + (flags & 0x20 ? 2 : 0);
  if (!descriptor(4) || esds[at] !== 0x40) return null;
  at += 13;
  return descriptor(5) ? esds[at] >> 3 : null;
}

// `{kind: 'video' | 'audio' | null, mime, codec, timescale}`.
export function readInit(buffer) {
  const found = { kind: null, codec: null, timescale: null };
  walk(new Uint8Array(buffer), (kind, payload) => {
    const view = new DataView(payload.buffer, payload.byteOffset, payload.byteLength);
    if (kind === 'mdhd') found.timescale = view.getUint32(payload[0] === 1 ? 20 : 12);
    if (kind === 'hdlr') {
      const handler = String.fromCharCode(...payload.subarray(8, 12));
      found.kind = { vide: 'video', soun: 'audio' }[handler] ?? null;
    }
    if (VIDEO_ENTRIES.includes(kind)) found.codec = kind;
    if (kind === 'avcC') found.codec = `${found.codec}.${[...payload.subarray(1, 4)].map(hex).join('')}`;
    if (kind === 'esds') found.codec = `mp4a.40.${audioObjectType(payload) ?? 2}`;
  });
  return { ...found, mime: found.codec && `${found.kind}/mp4; codecs="${found.codec}"` };
}
