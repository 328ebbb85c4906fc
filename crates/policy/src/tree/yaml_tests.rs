use std::time::{Duration, Instant};

use super::*;

fn one(text: &str) -> Tree {
    let mut documents = parse(text.as_bytes()).unwrap();
    assert_eq!(documents.len(), 1, "{text:?}");
    documents.remove(0)
}

fn error(text: impl AsRef<[u8]>) -> TreeError {
    parse(text.as_ref()).unwrap_err()
}

fn text_at(tree: &Tree, path: &[&str]) -> String {
    let tree = path.iter().fold(tree, |tree, name| &tree.get(name).expect(name).value);
    match &tree.value {
        Value::Scalar(scalar) => scalar.text.to_string(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn values_and_names_have_lines() {
    let tree = one("# comment\na: 1\nb:\n  - x\n  -\n    c: d\n");
    assert_eq!(tree.line, Some(2));
    let b = tree.get("b").unwrap();
    assert_eq!(b.line, Some(3));
    let Value::Sequence(items) = &b.value.value else { panic!() };
    assert_eq!((items[0].line, items[1].line), (Some(4), Some(6)));
}

#[test]
fn json_is_read_with_tabs_and_escapes() {
    let tree = one("{\n\t\"a\": {\"b\": [1, null, \"\\u0041\\/\"]},\n\t\"c\": \"1\"\n}\n");
    let Value::Sequence(items) = &tree.get("a").unwrap().value.get("b").unwrap().value.value else {
        panic!()
    };
    assert_eq!(items[0].value, Value::Scalar(Scalar { text: "1".into(), kind: ScalarKind::Integer(1) }));
    assert!(items[1].is_null());
    assert_eq!(items[2].value, Value::Scalar(Scalar::string("A/")));
    assert_eq!(tree.get("c").unwrap().value.value, Value::Scalar(Scalar::string("1")), "quotes make text");
}

#[test]
fn documents_and_empty_documents() {
    assert_eq!(parse(b"").unwrap(), []);
    assert_eq!(parse(b"# only a comment\n").unwrap(), []);
    assert!(parse(b"---\n").unwrap().iter().all(Tree::is_null));
    let documents = parse(b"a: 1\n---\n# nothing\n---\nb: 2\n...\n").unwrap();
    assert_eq!(documents.len(), 3);
    assert!(documents[1].is_null());
    assert_eq!(documents[2].line, Some(5));
}

#[test]
fn a_byte_order_mark_is_tolerated() {
    assert_eq!(text_at(&one("\u{feff}a: b\n"), &["a"]), "b");
}

#[test]
fn carriage_returns_are_tolerated() {
    let tree = one("a: b\r\nc: d\r\n");
    assert_eq!(text_at(&tree, &["a"]), "b");
    assert_eq!(tree.get("c").unwrap().line, Some(2));
}

#[test]
fn repeated_keys_are_defects_with_their_line() {
    let tree = one("a: 1\nb:\n  c: 1\n  d: 2\n  c: 3\n");
    let defect = tree.first_defect().unwrap();
    assert_eq!(defect.line, Some(5));
    assert_eq!(defect.message, "the field c is given twice (first on line 3): keep one of the two");
    assert_eq!(text_at(&tree, &["b", "c"]), "1");
    assert!(one("{a: 1, \"a\": 2}").first_defect().is_some());
    assert!(one("{[a]: 1}").first_defect().is_some());
}

#[test]
fn aliases_and_merge_keys() {
    let tree = one("base: &base {a: 1, b: 2}\nother: &other {b: 3, c: 4}\nx: *base\n\
        y: {<<: *base, b: 9}\nz:\n  <<: [*base, *other]\n");
    assert_eq!(tree.first_defect(), None);
    assert_eq!(text_at(&tree, &["x", "a"]), "1");
    assert_eq!(text_at(&tree, &["y", "a"]), "1");
    assert_eq!(text_at(&tree, &["y", "b"]), "9", "a field of the mapping itself wins");
    assert_eq!(text_at(&tree, &["z", "b"]), "2", "the first of the merged wins");
    assert_eq!(text_at(&tree, &["z", "c"]), "4");
    assert!(one("a: {<<: 1}").first_defect().is_some());
    assert_eq!(text_at(&one("{\"<<\": 1}"), &["<<"]), "1", "quoted, it is a name like any other");
}

#[test]
fn tags_of_the_core_schema() {
    let tree = one("a: !!str 123\nb: !!int \"80\"\nc: ! yes\n");
    assert_eq!(tree.get("a").unwrap().value.value, Value::Scalar(Scalar::string("123")));
    assert!(matches!(
        &tree.get("b").unwrap().value.value,
        Value::Scalar(Scalar { kind: ScalarKind::Integer(80), .. })
    ));
    assert_eq!(tree.get("c").unwrap().value.value, Value::Scalar(Scalar::string("yes")));
    assert_eq!(error("a: 1\nb: !custom x\n").line, 2);
    assert!(error("a: 1\nb: !custom x\n").to_string().starts_with("line 2: the tag "));
    assert_eq!(error("a: !!int x\n").line, 1);
    let kind = |text: &str| match one(text).get("a").unwrap().value.value.clone() {
        Value::Scalar(Scalar { kind, .. }) => kind,
        other => panic!("{text}: {other:?}"),
    };
    assert_eq!(kind("a: !!null null"), ScalarKind::Null);
    assert_eq!(kind("a: !!bool true"), ScalarKind::Boolean(true));
    assert_eq!(kind("a: !!float 1.5"), ScalarKind::Number);
    assert_eq!(kind("a: !!float 1"), ScalarKind::Integer(1));
    for wrong in
        ["!!null x", "!!bool x", "!!float x", "!!int 1.5", "!!seq x", "!other x", "!!map [x]", "!!seq {x: y}"]
    {
        let message = error(format!("a: {wrong}\n")).message;
        let tag = wrong.split(' ').next().unwrap().trim_start_matches('!');
        assert!(
            message.contains(tag) && message.contains("is not one that can be used here"),
            "{wrong}: {message}"
        );
    }
    assert_eq!(one("a: !!map {b: c}\nd: !!seq [e]\n").entries().len(), 2);
}

#[test]
fn what_is_not_text_is_an_error_with_its_line() {
    let latin = error(b"a: b\nc: caf\xe9\n");
    assert_eq!(latin.line, 2);
    assert!(latin.message.contains("not UTF-8") && latin.message.contains("0xe9"), "{latin}");
    // The parser would take this for the end of the text.
    let nul = error(b"a: b\n---\n\0\nkind: NetworkPolicy\n");
    assert_eq!(nul.line, 3);
    assert_eq!(error("a: [1\nb: 2\n: }").message.split(':').next(), Some("the YAML cannot be parsed"));
    assert_eq!(error("a: b\n  c: d\n").line, 2);
    assert!(error("a: *nothing\n").message.contains("unknown anchor"));
    assert!(error("a: &a [*a]\n").message.contains("contains it"));
}

#[test]
fn depth_is_bounded() {
    for (open, close) in [("[", "]"), ("{a: ", "}"), ("- ", ""), ("? ", "")] {
        let text = format!("{}x{}", open.repeat(100_000), close.repeat(100_000));
        assert!(parse(text.as_bytes()).is_err(), "{open}");
    }
    let fits = format!("{}x{}", "[".repeat(DEPTH_LIMIT), "]".repeat(DEPTH_LIMIT));
    assert_eq!(measure(&one(&fits)).1, DEPTH_LIMIT);
    let by_alias = format!("a: &a {}x{}\nb: [[*a]]\n", "[".repeat(98), "]".repeat(98));
    assert!(error(by_alias).message.contains("deep"));
    // An alias counts where it stands: as deep as may be, and one deeper.
    let below = |depth: usize| {
        let anchored = DEPTH_LIMIT - 3;
        let text = format!("a: &a {}x{}\nb: ", "[".repeat(anchored), "]".repeat(anchored));
        format!("{text}{}*a{}\n", "[".repeat(depth), "]".repeat(depth))
    };
    assert_eq!(measure(&one(&below(2))).1, DEPTH_LIMIT);
    assert!(error(below(3)).message.contains("deep"));
}

#[test]
fn aliases_of_aliases_are_bounded() {
    let mut text = "a0: &a0 [x,x,x,x,x,x,x,x,x]\n".to_owned();
    for level in 1..30 {
        let inner = format!("*a{}", level - 1);
        text += &format!("a{level}: &a{level} [{}]\n", [inner.as_str(); 9].join(","));
    }
    let started = Instant::now();
    assert!(error(&text).message.contains("aliases"));
    assert!(started.elapsed() < Duration::from_secs(2));
    let long = format!("a: &a {}\nb: [{}]\n", "x".repeat(1_000_000), ["*a"; 10_000].join(","));
    assert_eq!(measure(&one(&long)).0, 10_003);
}

#[test]
fn five_megabytes_of_anything_take_seconds_at_most() {
    let shapes = [
        "- {a: 1, b: [x, y]}\n",
        "k: v\n",
        "[",
        "{",
        "- ",
        "? ",
        "a ",
        "\"",
        "&a ",
        "*a ",
        "!a ",
        "---\n",
        "#\n",
        "\n",
        " ",
        "\t",
        "a:\n",
        "%",
        "|\n",
        "'",
        ",",
        ":",
        "x",
    ];
    for shape in shapes {
        let text = shape.repeat(5_000_000 / shape.len());
        let started = Instant::now();
        let _ = parse(text.as_bytes());
        let elapsed = started.elapsed();
        assert!(elapsed < Duration::from_secs(8), "{shape:?} took {elapsed:?}");
    }
}
