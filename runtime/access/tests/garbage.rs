//! Every file survives garbage with errors that name it and a line.

use std::path::Path;

use authentication::{FileError, KeySet, PasswordFile};
use proptest::prelude::*;

const PASSWORDS: &[u8] = include_bytes!("../vectors/passwords");
const KEYS: &[u8] = include_bytes!("../vectors/keys.json");

/// A good file of which some bytes are other ones, or cut off.
fn damaged(good: &'static [u8]) -> impl Strategy<Value = Vec<u8>> {
    let changes = prop::collection::vec((0..good.len(), any::<u8>()), 0..6);
    (changes, 0..=good.len()).prop_map(move |(changes, end)| {
        let mut bytes = good.to_vec();
        for (place, byte) in changes {
            bytes[place] = byte;
        }
        bytes.truncate(end.max(1));
        bytes
    })
}

fn named(errors: &[FileError], text: &[u8]) -> bool {
    let lines_count = text.split(|byte| *byte == b'\n').count();
    let has_place = |error: &FileError| {
        error.file == Path::new("file") && error.line.is_none_or(|line| (1..=lines_count).contains(&line))
    };
    !errors.is_empty() && errors.len() <= 50 && errors.iter().all(has_place)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn password_files(text in prop_oneof![damaged(PASSWORDS), prop::collection::vec(any::<u8>(), 0..300)]) {
        match PasswordFile::parse(Path::new("file"), &text) {
            Ok(file) => prop_assert!(file.users_count() <= 3 || text.len() < 300),
            Err(errors) => prop_assert!(named(&errors, &text), "{:?}", errors),
        }
    }

    #[test]
    fn key_sets(text in prop_oneof![damaged(KEYS), prop::collection::vec(any::<u8>(), 0..300)]) {
        if let Err(errors) = KeySet::parse(Path::new("file"), &text) {
            prop_assert!(named(&errors, &text), "{:?}", errors);
        }
    }
}

#[test]
fn a_key_that_is_broken_or_secret_is_told_with_its_line() {
    let errors = |text: &str| KeySet::parse(Path::new("file"), text.as_bytes()).unwrap_err();
    let text = "{\"keys\": [\n {\"kty\": \"oct\", \"kid\": \"shared\", \"k\": \"c2VjcmV0\"}\n]}";
    assert!(errors(text)[0].to_string().contains("file:2: key 1: a shared secret"), "{:?}", errors(text));
    assert!(!errors(text)[0].to_string().contains("c2VjcmV0"));
    let text = "{\"keys\": [\n\n {\"kty\": \"RSA\", \"kid\": \"x\", \"n\": \"!\", \"e\": \"AQAB\"}\n]}";
    assert_eq!(errors(text)[0].line, Some(3));
    assert_eq!(errors("{\"keys\": []}")[0].problem, "no key that checks a signature");
    assert_eq!(errors("{\n\"keys\": [\n}")[0].line, Some(3));
}
