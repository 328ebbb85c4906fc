//! Objects as the API server sends them.

use podwall_policy::read::api::{key, read_namespace, read_pod};
use podwall_policy::tree::{Keep, Tree};
use podwall_policy::{Mode, ObjectKey};

fn tree(text: &str) -> Tree {
    Keep::All.read(&mut serde_json::Deserializer::from_str(text)).unwrap()
}

#[test]
fn an_object_is_known_by_its_name_if_it_has_one() {
    let key = |metadata: &str| key(&tree(&format!("{{\"metadata\":{metadata}}}")));
    for metadata in ["{}", "null", "[]", "{\"name\":null}", "{\"name\":\"\"}", "{\"name\":[]}"] {
        assert_eq!(key(metadata), None, "{metadata}");
    }
    assert_eq!(key("{\"name\":\"a\"}"), Some(ObjectKey::new("", "a")));
    assert_eq!(key("{\"name\":\"a\",\"namespace\":null}"), Some(ObjectKey::new("", "a")));
    assert_eq!(key("{\"name\":\"a\",\"namespace\":\"b\"}"), Some(ObjectKey::new("b", "a")));
}

#[test]
fn problems_name_the_object_as_people_do() {
    let namespace = tree(
        "{\"apiVersion\":\"v1\",\"kind\":\"Namespace\",\"metadata\":{\"name\":\"n\",\
         \"annotations\":{\"podwall.io/mode\":\"odit\"}}}",
    );
    let (_, mode, problems) = read_namespace(&namespace).unwrap();
    assert_eq!((mode, problems[0].object.as_deref()), (Mode::Enforce, Some("Namespace n")));
    let pod = |metadata: &str| read_pod(&tree(&format!("{{\"metadata\":{metadata},\"spec\":[]}}")));
    let object = |metadata: &str| match pod(metadata) {
        Ok((_, _, problems)) => problems[0].object.clone(),
        Err(problem) => problem.object.clone(),
    };
    assert_eq!(object("{\"name\":\"p\",\"namespace\":\"n\"}").as_deref(), Some("Pod n/p"));
    assert_eq!(object("{}").as_deref(), Some("Pod"));
}
