use super::*;
use proptest::prelude::*;

fn template(text: &str) -> Template {
    Template::parse(text).unwrap()
}

fn rendition(text: &str) -> Rendition {
    Rendition::new(text).unwrap()
}

#[test]
fn dash_identifiers_are_read_and_written() {
    let cases = [
        ("$RepresentationID$/$Number$.m4s", "v1080/1042.m4s", "v1080", Position::Number(1042)),
        ("chunk-stream$RepresentationID$-$Number%05d$.m4s", "chunk-stream0-00042.m4s", "0", Position::Number(42)),
        ("$RepresentationID$-$Number$.m4s", "v-1-42.m4s", "v-1", Position::Number(42)),
        ("s$RepresentationID$-$Time$.m4s", "s0-890000000000.m4s", "0", Position::Time(890_000_000_000)),
        ("$RepresentationID$/$RepresentationID$_$Number$.m4s", "v/v_7.m4s", "v", Position::Number(7)),
    ];
    for (text, path, name, position) in cases {
        let fit = template(text).fit(path).unwrap_or_else(|| panic!("{path} fits {text}"));
        assert_eq!(fit, Fit { rendition: Some(name), position: Some(position) });
        assert_eq!(template(text).path(&rendition(name), Some(position)), path);
    }
}

#[test]
fn only_the_canonical_spelling_of_a_number_fits() {
    let plain = template("$RepresentationID$/$Number$.m4s");
    for path in [
        "v/0042.m4s",
        "v/+42.m4s",
        "v/-1.m4s",
        "v/.m4s",
        "v/4 2.m4s",
        "v/42.m4sx",
        "v/99999999999999999999.m4s",
        "w/v/4.m4s",
    ] {
        assert_eq!(plain.fit(path), None, "{path}");
    }
    assert!(plain.fit("v/0.m4s").is_some());
    let padded = template("$Number%05d$.m4s");
    for path in ["42.m4s", "000042.m4s", "0042.m4s"] {
        assert_eq!(padded.fit(path), None, "{path}");
    }
    assert_eq!(padded.fit("123456.m4s").unwrap().position, Some(Position::Number(123_456)));
}

#[test]
fn repeated_identifiers_must_agree() {
    let twice = template("$RepresentationID$/$Number$/$RepresentationID$-$Number$.m4s");
    assert!(twice.fit("v/4/v-4.m4s").is_some());
    assert!(twice.fit("v/4/w-4.m4s").is_none());
    assert!(twice.fit("v/4/v-5.m4s").is_none());
}

#[test]
fn a_bad_template_says_what_to_write() {
    for (text, word) in [
        ("", "1 to 1024"),
        ("$Number", "partner"),
        ("$Bandwidth$/$Number$", "not known"),
        ("$Number%5d$", "not known"),
        ("$Number%099d$", "width"),
        ("$Number$-$Time$", "not both"),
        ("$RepresentationID$$Number$.m4s", "touch"),
        ("$Number$1.m4s", "digit follows"),
        ("/$Number$.m4s", "empty part"),
        ("a//$Number$.m4s", "empty part"),
        ("../$Number$.m4s", "`..`"),
        ("@a/$Number$.m4s", "pipeline"),
        ("a b/$Number$.m4s", "' '"),
        ("a?b/$Number$.m4s", "'?'"),
    ] {
        let message = Template::parse(text).unwrap_err();
        assert!(message.contains(word), "{text}: {message}");
    }
}

#[test]
fn templates_that_some_path_fits_both_overlap() {
    let overlap = |left: &str, right: &str| template(left).overlaps(&template(right));
    assert!(overlap("init-$RepresentationID$.m4s", "$RepresentationID$-$Number$.m4s"));
    assert!(overlap("$RepresentationID$/0.m4s", "$RepresentationID$/$Number$.m4s"));
    assert!(overlap("init.mp4", "init.mp4"));
    assert!(!overlap("$RepresentationID$/init.mp4", "$RepresentationID$/$Number$.m4s"));
    assert!(!overlap("$RepresentationID$/init.mp4", "$RepresentationID$/$Number$.mp4"));
    assert!(!overlap("init-stream$RepresentationID$.m4s", "chunk-stream$RepresentationID$-$Number%05d$.m4s"));
    assert!(!overlap("$RepresentationID$/1234.m4s", "$RepresentationID$/$Number%05d$.m4s"));
}

proptest! {
    #[test]
    fn no_path_and_no_template_panics(text in "[$a-zA-Z0-9%/._-]{0,40}", path in ".{0,60}") {
        if let Ok(template) = Template::parse(&text) {
            let _ = template.fit(&path);
        }
    }

    #[test]
    fn what_is_written_is_read_back(name in "[A-Za-z0-9][A-Za-z0-9._-]{0,20}", number in any::<u64>(), width in 1usize..=20) {
        let (name, position) = (rendition(&name), Some(Position::Number(number)));
        let template = template(&format!("x/$RepresentationID$/seg-$Number%0{width}d$.m4s"));
        let path = template.path(&name, position);
        prop_assert_eq!(template.fit(&path), Some(Fit { rendition: Some(name.as_str()), position }));
    }

    #[test]
    fn a_path_that_fits_both_proves_an_overlap(name in "[a-c]{1,3}", number in 0u64..200) {
        let (one, two) = (template("$RepresentationID$-$Number$"), template("a$RepresentationID$-$Number%02d$"));
        let path = one.path(&rendition(&name), Some(Position::Number(number)));
        if one.fit(&path).is_some() && two.fit(&path).is_some() {
            prop_assert!(one.overlaps(&two));
        }
    }
}
