//! The one shape that test segments have: `styp`, then `moof` and `mdat` in turn, one track, samples of equal
//! duration. Read into values and written back, so that re-timing, cutting and faults never patch bytes in place.

use crate::boxes::{Child, Children, Header, TopLevel};

/// `styp` brands of a whole segment: a DASH media segment, a CMAF segment.
const BRANDS: [[u8; 4]; 2] = [*b"msdh", *b"cmfs"];
const DEFAULT_BASE_IS_MOOF: u32 = 0x02_0000;
/// `tfhd`: default duration and default flags.
const TFHD_FLAGS: u32 = DEFAULT_BASE_IS_MOOF | 0x28;
/// `trun`: data offset, first sample's flags, sizes.
const TRUN_FLAGS: u32 = 0x205;
/// The boxes of a `moof` without the sizes of its samples.
const MOOF_LEN: usize = 8 + 16 + 8 + 24 + 20 + 24;

/// A segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Segment<'a> {
    pub(super) brands: Vec<[u8; 4]>,
    pub(super) chunks: Vec<Chunk<'a>>,
}

/// One `moof` and its `mdat`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Chunk<'a> {
    pub(super) sequence: u32,
    pub(super) decode_time: u64,
    pub(super) track: u32,
    /// Of every sample.
    pub(super) duration: u32,
    pub(super) first_flags: u32,
    /// Of all samples but the first.
    pub(super) flags: u32,
    pub(super) sizes: Vec<u32>,
    pub(super) payload: &'a [u8],
}

impl<'a> Segment<'a> {
    /// A segment of one chunk.
    pub(super) fn of(chunk: Chunk<'a>) -> Self {
        Self { brands: BRANDS.to_vec(), chunks: vec![chunk] }
    }

    /// Reads a segment, or a file of several; `None` if the bytes have another shape.
    pub(super) fn read(bytes: &'a [u8]) -> Option<Self> {
        let mut found = Self { brands: BRANDS.to_vec(), chunks: Vec::new() };
        let mut open = None;
        for header in TopLevel::new(bytes) {
            let header = header.ok()?;
            let payload = payload(bytes, &header)?;
            match &header.kind.0 {
                b"styp" => found.brands = read_brands(payload)?,
                b"moof" => open = Some(read_moof(payload)?),
                b"mdat" => {
                    let chunk = Chunk { payload, ..open.take()? };
                    let total: u64 = chunk.sizes.iter().copied().map(u64::from).sum();
                    if total != payload.len() as u64 {
                        return None;
                    }
                    found.chunks.push(chunk);
                }
                _ => {}
            }
        }
        Some(found)
    }

    /// The bytes.
    pub(super) fn write(&self) -> Vec<u8> {
        let payloads: usize =
            self.chunks.iter().map(|chunk| MOOF_LEN + 4 * chunk.sizes.len() + chunk.payload.len()).sum();
        let mut out = Vec::with_capacity(64 + payloads);
        container(&mut out, b"styp", |out| {
            let major = self.brands.first().unwrap_or(&BRANDS[0]);
            out.extend_from_slice(major);
            out.extend_from_slice(&[0; 4]);
            self.brands.iter().for_each(|brand| out.extend_from_slice(brand));
        });
        for chunk in &self.chunks {
            chunk.write(&mut out);
        }
        out
    }
}

impl Chunk<'_> {
    /// Duration of all samples.
    pub(super) fn total_duration(&self) -> u64 {
        u64::from(self.duration) * self.sizes.len() as u64
    }

    fn write(&self, out: &mut Vec<u8>) {
        let data_offset = MOOF_LEN + 4 * self.sizes.len() + 8;
        container(out, b"moof", |out| {
            full(out, b"mfhd", 0, 0, &[self.sequence]);
            container(out, b"traf", |out| {
                full(out, b"tfhd", 0, TFHD_FLAGS, &[self.track, self.duration, self.flags]);
                full(out, b"tfdt", 1, 0, &[(self.decode_time >> 32) as u32, self.decode_time as u32]);
                let mut fields = vec![self.sizes.len() as u32, data_offset as u32, self.first_flags];
                fields.extend_from_slice(&self.sizes);
                full(out, b"trun", 0, TRUN_FLAGS, &fields);
            });
        });
        container(out, b"mdat", |out| out.extend_from_slice(self.payload));
    }
}

fn container(out: &mut Vec<u8>, kind: &[u8; 4], fill: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(kind);
    fill(out);
    let size = (out.len() - start) as u32;
    out[start..start + 4].copy_from_slice(&size.to_be_bytes());
}

fn full(out: &mut Vec<u8>, kind: &[u8; 4], version: u8, flags: u32, fields: &[u32]) {
    container(out, kind, |out| {
        out.extend_from_slice(&(u32::from(version) << 24 | flags).to_be_bytes());
        fields.iter().for_each(|field| out.extend_from_slice(&field.to_be_bytes()));
    });
}

fn payload<'a>(bytes: &'a [u8], header: &Header) -> Option<&'a [u8]> {
    bytes.get(usize::try_from(header.payload).ok()?..usize::try_from(header.end).ok()?)
}

fn read_brands(styp: &[u8]) -> Option<Vec<[u8; 4]>> {
    Some(styp.get(8..)?.chunks_exact(4).filter_map(|brand| brand.try_into().ok()).collect())
}

fn read_moof(moof: &[u8]) -> Option<Chunk<'static>> {
    let find =
        |parent: &Child<'_>, kind| parent.children().find(kind).ok().flatten().map(|child| child.payload.to_vec());
    let mfhd = Children::new(moof).find(b"mfhd").ok()??;
    let traf = Children::new(moof).find(b"traf").ok()??;
    let (tfhd, tfdt, trun) = (find(&traf, b"tfhd")?, find(&traf, b"tfdt")?, find(&traf, b"trun")?);

    // Without its default size, which the sizes in the run make superfluous.
    let (flags, mut fields) = words(&tfhd)?;
    if flags & DEFAULT_BASE_IS_MOOF == 0 || flags & 0x3b & !0x10 != 0x28 {
        return None;
    }
    let track = fields.next()?;
    let duration = fields.next()?;
    if flags & 0x10 != 0 {
        fields.next()?;
    }
    let default_flags = fields.next()?;

    let (flags, mut fields) = words(&trun)?;
    if flags & 0xffff & !0x4 != TRUN_FLAGS & !0x4 {
        return None;
    }
    let count = fields.next()?;
    fields.next()?; // data offset: where the mdat is, follows from the shape
    let first_flags = if flags & 0x4 == 0 { default_flags } else { fields.next()? };
    let sizes: Vec<u32> = fields.collect();

    let (version, mut time) = words(&tfdt)?;
    let decode_time = match version >> 24 {
        0 => u64::from(time.next()?),
        _ => u64::from(time.next()?) << 32 | u64::from(time.next()?),
    };
    let sequence = words(mfhd.payload)?.1.next()?;
    let whole = sizes.len() == count as usize;
    let chunk =
        Chunk { sequence, decode_time, track, duration, first_flags, flags: default_flags, sizes, payload: &[] };
    whole.then_some(chunk)
}

/// Version with flags, and the 32-bit words after them.
fn words(full: &[u8]) -> Option<(u32, impl Iterator<Item = u32>)> {
    let mut words = full.chunks_exact(4).filter_map(|word| word.try_into().ok()).map(u32::from_be_bytes);
    Some((words.next()?, words))
}
