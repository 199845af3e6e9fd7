//! The bytes of a body: letters, filling, or the built-in test content with a fault.

use headwater_media::content::{Clip, ClipRendition, Letter, fault};

use crate::case::Body;
use crate::text::Values;

/// The bytes.
///
/// # Errors
/// If the case names something that there is not.
pub(crate) fn bytes(body: &Body, values: &Values, start_number: u64) -> Result<Vec<u8>, String> {
    match body {
        Body::Empty => Ok(Vec::new()),
        Body::Text(text) => values.fill(text).map(String::into_bytes),
        Body::Fill(length) => Ok(b"0123456789abcdef".iter().copied().cycle().take(*length).collect()),
        Body::Init(rendition) => Ok(self::rendition(&values.fill(rendition)?)?.init().to_vec()),
        Body::Media(words) => {
            let words = words.iter().map(|word| values.fill(word)).collect::<Result<Vec<_>, _>>()?;
            media(&words, start_number)
        }
    }
}

fn rendition(id: &str) -> Result<ClipRendition, String> {
    let clip = Clip::builtin();
    let known = || clip.renditions().iter().map(ClipRendition::id).collect::<Vec<_>>().join(", ");
    clip.rendition(id).cloned().ok_or_else(|| format!("the test content has no `{id}`; it has {}", known()))
}

fn media(words: &[String], start_number: u64) -> Result<Vec<u8>, String> {
    let letter = match words[0].as_str() {
        "a" => Letter::A,
        "b" => Letter::B,
        other => return Err(format!("the test content has the letters a and b, no `{other}`")),
    };
    let number = words[2].parse().map_err(|_| format!("`{}` is no segment number", words[2]))?;
    let segment = rendition(&words[1])?.segment(letter, number, start_number);
    let faults: Vec<&str> = words[3..].iter().map(String::as_str).collect();
    Ok(match faults.as_slice() {
        [] => segment,
        ["short"] => fault::short(&segment),
        ["shifted", offset] => {
            let offset = offset.parse().map_err(|_| format!("`{offset}` is no offset"))?;
            fault::shifted(&segment, offset)
        }
        ["truncated"] => fault::truncated(&segment),
        ["garbled"] => fault::garbled(&segment),
        ["filler"] => fault::filler(&segment),
        ["no-sync"] => fault::no_sync(&segment),
        ["disorder"] => fault::disorder(&segment),
        _ => return Err(format!("`{}` is no fault of the test content", faults.join(" "))),
    })
}
