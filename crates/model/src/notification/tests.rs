use super::*;
use proptest::prelude::*;

fn value(text: &str) -> Value {
    Value::try_from(text.to_owned()).unwrap()
}

fn set(state: &Notifications, name: &str, text: &str, number: u64, rev: u64) -> Notifications {
    let new = state.with(name, &value(text), number, rev, Source::Operator, 0).unwrap();
    new.unwrap_or_else(|| state.clone())
}

#[test]
fn a_set_is_written_as_the_contract_shows_it() {
    let state = set(&Notifications::default(), "rating", "\"TV-14\"", 1000, 16);
    let state = set(&state, "ad-break", "\"30s\"", 1042, 17);
    assert_eq!(state.latest().to_string(), "ad-break=\"30s\";n=1042, rating=\"TV-14\";n=1000, rev=17");
    assert_eq!(state.as_of(1041).to_string(), "rating=\"TV-14\";n=1000, rev=16");
    assert_eq!(state.as_of(999).to_string(), "rev=0");
}

#[test]
fn a_flag_that_is_set_is_its_name_alone() {
    let state = set(&Notifications::default(), "live", "?1", 10, 1);
    let state = set(&state, "slate", "?0", 10, 2);
    assert_eq!(state.latest().to_string(), "live;n=10, slate=?0;n=10, rev=2");
}

#[test]
fn the_change_with_the_greatest_number_counts_then_the_revision() {
    let state = set(&Notifications::default(), "x", "1", 20, 1);
    let state = set(&state, "x", "2", 10, 2);
    assert_eq!(state.as_of(15).to_string(), "x=2;n=10, rev=2");
    assert_eq!(state.as_of(20).to_string(), "x=1;n=20, rev=2");
    let state = set(&state, "x", "3", 20, 3);
    assert_eq!(state.latest().to_string(), "x=3;n=20, rev=3");
}

#[test]
fn the_first_value_of_an_upload_stays() {
    let with =
        |state: &Notifications, text: &str, rev| state.with("x", &value(text), 10, rev, Source::Upload, 0).unwrap();
    let state = with(&Notifications::default(), "1", 1).unwrap();
    assert_eq!(with(&state, "1", 2), None);
    assert_eq!(with(&state, "2", 2), None, "the other pipeline changes nothing");
}

#[test]
fn an_unchanged_value_is_no_revision() {
    let state = set(&Notifications::default(), "x", "1", 10, 1);
    assert_eq!(state.with("x", &value("1"), 12, 2, Source::Operator, 0).unwrap(), None);
}

#[test]
fn a_removal_takes_effect_at_the_next_segment_and_never_before_its_own() {
    let state = set(&Notifications::default(), "x", "1", 10, 1);
    let gone = state.without("x", 15, 2, 0).unwrap().unwrap();
    assert_eq!((gone.as_of(14).to_string(), gone.as_of(15).to_string()), ("x=1;n=10, rev=1".into(), "rev=2".into()));
    let future = set(&Notifications::default(), "x", "1", 100, 1).without("x", 15, 2, 0).unwrap().unwrap();
    assert_eq!((future.as_of(99).to_string(), future.as_of(100).to_string()), ("rev=0".into(), "rev=2".into()));
    assert_eq!(gone.without("x", 20, 3, 0).unwrap(), None);
}

#[test]
fn limits_leave_the_state_unchanged() {
    let refused = |name: &str, text: &str| Notifications::default().with(name, &value(text), 1, 1, Source::Operator, 0);
    for name in ["rev", "Upper", "1x", "", "a b", &"x".repeat(65)] {
        assert!(matches!(refused(name, "1"), Err(NotifyError::Invalid(_))), "{name}");
    }
    let long = format!("\"{}\"", "x".repeat(4090));
    assert_eq!(refused("x", &long), Err(NotifyError::TooLarge));
    let mut state = Notifications::default();
    for index in 0..NAMES_MAX as u64 {
        state = set(&state, &format!("n{index}"), "1", 1, index + 1);
    }
    assert_eq!(state.with("more", &value("1"), 1, 99, Source::Operator, 0), Err(NotifyError::TooManyNames));
    assert!(state.with("n0", &value("2"), 2, 99, Source::Operator, 0).unwrap().is_some());
}

#[test]
fn changes_that_no_segment_can_show_are_forgotten() {
    let mut state = Notifications::default();
    for number in 0..5000 {
        let oldest = u64::saturating_sub(number, 100);
        state = state
            .with("x", &value(&number.to_string()), number, number + 1, Source::Operator, oldest)
            .unwrap()
            .unwrap();
    }
    assert!(state.0.len() <= 102, "{}", state.0.len());
    assert_eq!(state.as_of(4950).to_string(), "x=4950;n=4950, rev=4951");
}

#[test]
fn values_come_from_json_and_go_back() {
    for json in [serde_json::json!("a \"b\" \\c"), 5.into(), true.into(), serde_json::json!(1.5), false.into()] {
        assert_eq!(Value::from_json(&json).unwrap().to_json(), json);
    }
    for json in [serde_json::Value::Null, serde_json::json!([1]), "é".into(), serde_json::json!(1e20)] {
        assert!(Value::from_json(&json).is_err(), "{json}");
    }
}

proptest! {
    #[test]
    fn what_a_segment_shows_never_changes_by_later_segments(
        changes in prop::collection::vec((0usize..3, 0i64..4, 0u64..50), 1..20), at in 0u64..50,
    ) {
        let names = ["a", "b", "c"];
        let mut state = Notifications::default();
        for (rev, (name, number_value, number)) in changes.iter().enumerate() {
            let before = state.as_of(at).to_string();
            state = set(&state, names[*name], &number_value.to_string(), *number, rev as u64 + 1);
            if *number > at {
                prop_assert_eq!(&state.as_of(at).to_string(), &before);
            }
        }
    }
}
