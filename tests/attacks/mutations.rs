//! Any change of a file's bytes gives a verdict, and none that changes a derived value is accepted.

use grail::sat::Sat;
use grail_protocol::verify::{Extent, Outcome, Rules};
use grail_protocol::window::{self, Form, Schema, WindowFile};
use proptest::prelude::*;
use std::sync::OnceLock;

use crate::world::world;

fn text() -> &'static [u8] {
    static TEXT: OnceLock<Vec<u8>> = OnceLock::new();
    TEXT.get_or_init(|| world().honest.to_text(&Schema::of::<Sat>(), Form::Whole).into_bytes())
}

fn deterministic(file: &WindowFile) -> String {
    file.to_text(&Schema::of::<Sat>(), Form::Deterministic)
}

/// The verdict on a text: none where it cannot be read, which is void.
fn outcome(text: &[u8]) -> Option<(WindowFile, Outcome)> {
    let file = window::read(text, &Schema::of::<Sat>(), &world().protocol.limits()).ok()?;
    let verdict = world().verdict(Rules::all(), &file, Extent::Deciding);
    Some((file, verdict.outcome))
}

/// What a valid file says that is derived or signed is what the honest one says; the rest is free.
fn holds(mutated: &[u8]) -> Result<(), TestCaseError> {
    if let Some((file, Outcome::Valid)) = outcome(mutated) {
        prop_assert_eq!(deterministic(&file), deterministic(&world().honest));
    }
    Ok(())
}

/// Places of the text where another character gives another value more often than no file: digits, signs, hex.
fn places() -> &'static [usize] {
    static PLACES: OnceLock<Vec<usize>> = OnceLock::new();
    let is_value = |&i: &usize| text()[i].is_ascii_digit() || b"abcdef-.".contains(&text()[i]);
    PLACES.get_or_init(|| (0..text().len()).filter(is_value).collect())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn a_changed_character_is_never_accepted_as_another_value(place: prop::sample::Index, with in "[0-9a-f.-]") {
        let mut mutated = text().to_vec();
        let place = places()[place.index(places().len())];
        mutated[place] = with.as_bytes()[0];
        holds(&mutated)?;
    }

    #[test]
    fn any_change_of_bytes_gives_a_verdict(
        place: prop::sample::Index, length in 0_usize..4, with in prop::collection::vec(any::<u8>(), 0..4),
    ) {
        let mut mutated = text().to_vec();
        let start = place.index(mutated.len());
        let end = (start + length).min(mutated.len());
        mutated.splice(start..end, with);
        holds(&mutated)?;
    }
}

/// The control: free fields may change, and then the file is valid with another text.
#[test]
fn a_free_field_may_change_and_a_signed_one_may_not() {
    let honest = String::from_utf8(text().to_vec()).unwrap();
    let (file, outcome_of) = outcome(honest.replacen("\"block\":6291", "\"block\":6292", 1).as_bytes()).unwrap();
    assert!(outcome_of == Outcome::Valid && file != world().honest);
    let (_, outcome_of) = outcome(honest.replacen("\"nonce\":3", "\"nonce\":4", 1).as_bytes()).unwrap();
    assert_eq!(outcome_of, Outcome::Fraud);
}
