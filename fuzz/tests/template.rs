//! URL templates from operators, and paths from everyone.

use headwater_fuzz::TIME;
use headwater_model::Rendition;
use headwater_model::template::{Position, Template};

/// Pieces that make templates which are often valid.
const PIECES: [&str; 16] = [
    "$RepresentationID$",
    "$Number$",
    "$Time$",
    "$Number%05d$",
    "$Number%020d$",
    "$$",
    "$",
    "-",
    "/",
    "a",
    "1",
    "0",
    ".",
    ".m4s",
    "%2F",
    "@a",
];

fn text(pieces: &[u8]) -> String {
    pieces.iter().map(|piece| PIECES[usize::from(*piece) % PIECES.len()]).collect()
}

/// A number takes every digit that it finds: with another digit right behind it a template fits no path at all.
fn has_digit_after_number(template: &str) -> bool {
    let after =
        ["Number$", "d$", "Time$"].iter().flat_map(|end| template.match_indices(end).map(|(at, end)| at + end.len()));
    after.into_iter().any(|at| template[at..].starts_with(|next: char| next.is_ascii_digit()))
}

#[test]
fn any_text() {
    bolero::check!().with_type::<(String, String)>().with_test_time(TIME).for_each(|(template, path)| {
        if let Ok(template) = Template::parse(template) {
            let _ = template.fit(path);
        }
    });
}

#[test]
fn a_path_that_a_template_writes_fits_it_and_is_its_only_spelling() {
    let renditions = ["a", "v1080", "1", "a-1", "0.0"].map(|name| Rendition::new(name).expect("a name"));
    bolero::check!().with_type::<(Vec<u8>, u8, u64)>().with_test_time(TIME).for_each(|(pieces, which, value)| {
        let text = text(pieces);
        let Ok(template) = Template::parse(&text) else { return };
        if has_digit_after_number(&text) {
            return;
        }
        let rendition = &renditions[usize::from(*which) % renditions.len()];
        let position = match (template.has_position(), template.has_time()) {
            (false, _) => None,
            (true, false) => Some(Position::Number(*value)),
            (true, true) => Some(Position::Time(*value)),
        };
        let path = template.path(rendition, position);
        let fit = template.fit(&path).unwrap_or_else(|| panic!("{path} does not fit {template}"));
        let named = fit.rendition.map(|name| Rendition::new(name).expect("a name that fits keeps its rule"));
        assert_eq!(template.path(&named.unwrap_or_else(|| rendition.clone()), fit.position), path, "{template}");
    });
}

#[test]
fn templates_that_share_a_path_overlap() {
    let rendition = Rendition::new("1").expect("a name");
    bolero::check!().with_type::<(Vec<u8>, Vec<u8>, u8)>().with_test_time(TIME).for_each(|(one, other, value)| {
        let (Ok(one), Ok(other)) = (Template::parse(&text(one)), Template::parse(&text(other))) else { return };
        assert_eq!(one.overlaps(&other), other.overlaps(&one), "{one} {other}");
        assert!(one.overlaps(&one), "{one}");
        let value = u64::from(*value);
        let position = if one.has_time() { Position::Time(value) } else { Position::Number(value) };
        let path = one.path(&rendition, Some(position));
        assert!(other.fit(&path).is_none() || one.overlaps(&other), "{path} fits {one} and {other}");
    });
}
