use serde::de::IntoDeserializer;
use serde::de::value::{Error, MapDeserializer, SeqDeserializer};

use super::*;

const KEEP: Keep = Keep::Fields(&[("a", Keep::All), ("b", Keep::Fields(&[("c", Keep::All)]))]);

#[test]
fn only_what_is_kept_is_built() {
    let fields = [("a", 1), ("x", 2), ("b", 3)];
    let tree = KEEP.read(MapDeserializer::<_, Error>::new(fields.into_iter())).unwrap();
    let names: Vec<&str> = tree.entries().iter().map(|entry| &*entry.key.text).collect();
    assert_eq!(names, ["a", "b"]);
    assert_eq!(tree.text(&["a"]).map(|text| &**text), Some("1"));
    assert_eq!((tree.text(&["x"]), tree.text(&["a", "b"]), tree.line), (None, None, None));
}

#[test]
fn scalars_are_what_they_are_and_not_what_they_look_like() {
    let kind = |tree: Tree| match tree.value {
        Value::Scalar(scalar) => scalar.kind,
        other => panic!("{other:?}"),
    };
    let read =
        |text: &'static str| Keep::All.read(IntoDeserializer::<Error>::into_deserializer(text)).unwrap();
    for text in ["yes", "80", "", "null", "~"] {
        assert_eq!(kind(read(text)), ScalarKind::String, "{text:?}");
    }
    let number = |number: u64| Keep::All.read(IntoDeserializer::<Error>::into_deserializer(number)).unwrap();
    assert_eq!(kind(number(80)), ScalarKind::Integer(80));
    assert_eq!(kind(number(u64::MAX)), ScalarKind::Number);
    let unit = Keep::All.read(IntoDeserializer::<Error>::into_deserializer(())).unwrap();
    assert!(unit.is_null());
}

#[test]
fn a_field_given_twice_is_a_defect_however_many_there_are() {
    for count in [2, 9] {
        let names = (0..count).map(|number| format!("f{}", number % (count - 1)));
        let fields = names.map(|name| (name, 1));
        let tree = Keep::All.read(MapDeserializer::<_, Error>::new(fields)).unwrap();
        assert_eq!(tree.entries().len(), count - 1);
        assert!(tree.first_defect().is_some());
    }
}

#[test]
fn lists_keep_the_same_of_every_item() {
    let list = SeqDeserializer::<_, Error>::new([1, 2].into_iter());
    let tree = KEEP.read(list).unwrap();
    assert!(matches!(tree.value, Value::Sequence(items) if items.len() == 2));
}

#[test]
fn what_nests_deeper_than_the_limit_is_refused() {
    let read = |text: String| {
        let mut deserializer = serde_json::Deserializer::from_str(&text);
        Keep::All.read(&mut deserializer).map(|_| ())
    };
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        let nested = |depth: usize| format!("{}1{}", open.repeat(depth), close.repeat(depth));
        assert!(read(nested(DEPTH_LIMIT)).is_ok(), "{open}");
        let error = read(nested(DEPTH_LIMIT + 1)).unwrap_err().to_string();
        assert!(error.contains("nested more than 100 deep"), "{open}: {error}");
    }
}
