//! A folder of manifests, as people and editors treat it.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use podwall_policy::read::PolicyReading;
use podwall_reconciler::event::{Object, WatchEvent};
use podwall_reconciler::watch::manifests::start;
use tokio::sync::mpsc::{Receiver, channel};
use tokio::task::JoinSet;
use tokio::time::timeout;

/// A folder that is watched, and removed at the end.
struct Scene {
    root: PathBuf,
    events: Receiver<WatchEvent>,
    _tasks: JoinSet<()>,
}

impl Scene {
    fn new(name: &str, prepare: impl FnOnce(&Path)) -> Self {
        let root = std::env::temp_dir().join(format!("podwall-manifests-{name}-{}", std::process::id()));
        fs::create_dir_all(&root).unwrap();
        prepare(&root);
        let (sender, events) = channel(1000);
        let _tasks = start(root.clone(), sender).unwrap();
        Self { root, events, _tasks }
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.root.join(name), text).unwrap();
    }

    /// What comes until nothing more comes, in short.
    async fn heard(&mut self) -> Vec<String> {
        let mut heard = Vec::new();
        while let Ok(event) = timeout(Duration::from_millis(250), self.events.recv()).await {
            heard.push(short(&event.expect("the watch goes on")));
        }
        heard.retain(|text| !text.starts_with("recovered"));
        heard
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.root).ok();
    }
}

fn short(event: &WatchEvent) -> String {
    match event {
        WatchEvent::ListStarted(kind) => format!("list {}", kind.name()),
        WatchEvent::Listed { kind, complete } => format!("end {} {complete}", kind.name()),
        WatchEvent::Present(object) => {
            let name = &object.key().name;
            match object {
                Object::Pod { pod, .. } => format!("{name} {:?}", pod.addresses),
                Object::Namespace(_, labels, _) => format!("{name} {}", labels.len()),
                Object::NetworkPolicy { reading, .. } => match &**reading {
                    PolicyReading::Read { policy, .. } => format!("{name} {}", policy.pod_selector),
                    _ => format!("{name} refused"),
                },
            }
        }
        WatchEvent::Gone(kind, key) => format!("no {} {}", kind.name(), key.name),
        WatchEvent::Problem { problem, .. } => format!("problem: {}", problem.message),
        WatchEvent::Recovered(kind) => format!("recovered {}", kind.name()),
        other => format!("{other:?}"),
    }
}

fn pod(name: &str, address: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}}}\nstatus: {{podIPs: [{{ip: {address}}}]}}\n---\n"
    )
}

fn policy(name: &str, spec: &str) -> String {
    format!(
        "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {{name: {name}}}\nspec: {spec}\n---\n"
    )
}

const NOTHING: [&str; 0] = [];

#[tokio::test]
async fn a_list_and_then_differences() {
    let mut scene = Scene::new("differences", |root| {
        fs::create_dir(root.join("sub")).unwrap();
        fs::write(root.join("sub/b.yml"), policy("p", "{podSelector: {matchLabels: {a: b}}}")).unwrap();
        fs::write(root.join("a.yaml"), pod("a", "10.0.0.1") + &pod("b", "10.0.0.2")).unwrap();
        fs::write(root.join("note.txt"), "{").unwrap();
        fs::write(root.join(".#a.yaml"), "{").unwrap();
        fs::write(root.join("n.json"), r#"{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"n"}}"#)
            .unwrap();
    });
    let list = [
        "list Pod",
        "a [10.0.0.1]",
        "b [10.0.0.2]",
        "end Pod true",
        "list Namespace",
        "n 1",
        "end Namespace true",
        "list NetworkPolicy",
        "p a=b",
        "end NetworkPolicy true",
    ];
    assert_eq!(scene.heard().await, list);
    scene.write("a.yaml", &("# moved\n".to_owned() + &pod("a", "10.0.0.1") + &pod("b", "10.0.0.3")));
    assert_eq!(scene.heard().await, ["b [10.0.0.3]"]);
    scene.write("sub/c.yaml", &pod("c", "10.0.0.4"));
    assert_eq!(scene.heard().await, ["c [10.0.0.4]"]);
    fs::remove_file(scene.root.join("sub/b.yml")).unwrap();
    assert_eq!(scene.heard().await, ["no NetworkPolicy p"]);
}

#[tokio::test]
async fn files_come_as_editors_and_tools_bring_them() {
    let mut scene =
        Scene::new("editors", |root| fs::write(root.join("a.yaml"), pod("a", "10.0.0.1")).unwrap());
    scene.heard().await;
    // Written elsewhere and moved into place.
    scene.write(".a.yaml.swp", &pod("a", "10.0.0.2"));
    fs::rename(scene.root.join(".a.yaml.swp"), scene.root.join("a.yaml")).unwrap();
    assert_eq!(scene.heard().await, ["a [10.0.0.2]"]);
    // A backup first, so that for a moment there is none.
    fs::rename(scene.root.join("a.yaml"), scene.root.join("a.yaml~")).unwrap();
    scene.write("a.yaml", &pod("a", "10.0.0.3"));
    assert_eq!(scene.heard().await, ["a [10.0.0.3]"]);
    // A folder with files, made elsewhere or here.
    fs::create_dir_all(scene.root.join("x/y")).unwrap();
    scene.write("x/y/b.yaml", &pod("b", "10.0.0.4"));
    assert_eq!(scene.heard().await, ["b [10.0.0.4]"]);
    scene.write("x/y/b.yaml", &pod("b", "10.0.0.5"));
    assert_eq!(scene.heard().await, ["b [10.0.0.5]"]);
    fs::rename(scene.root.join("x"), scene.root.join("z")).unwrap();
    assert_eq!(scene.heard().await, NOTHING);
    scene.write("z/y/b.yaml", &pod("b", "10.0.0.6"));
    assert_eq!(scene.heard().await, ["b [10.0.0.6]"]);
    fs::remove_dir_all(scene.root.join("z")).unwrap();
    assert_eq!(scene.heard().await, ["no Pod b"]);
}

#[tokio::test]
async fn a_mounted_config_map_turns_over() {
    let versions = |root: &Path, version: &str, address: &str| {
        fs::create_dir(root.join(version)).unwrap();
        fs::write(root.join(version).join("a.yaml"), pod("a", address)).unwrap();
        std::os::unix::fs::symlink(version, root.join("..data_tmp")).unwrap();
        fs::rename(root.join("..data_tmp"), root.join("..data")).unwrap();
    };
    let mut scene = Scene::new("configmap", |root| {
        versions(root, "..1", "10.0.0.1");
        std::os::unix::fs::symlink("..data/a.yaml", root.join("a.yaml")).unwrap();
    });
    assert_eq!(scene.heard().await[1], "a [10.0.0.1]");
    versions(&scene.root, "..2", "10.0.0.2");
    fs::remove_dir_all(scene.root.join("..1")).unwrap();
    assert_eq!(scene.heard().await, ["a [10.0.0.2]"]);
}

#[tokio::test]
async fn half_a_file_is_not_read() {
    let text = pod("a", "10.0.0.1") + &pod("b", "10.0.0.2");
    let mut scene = Scene::new("half", |root| fs::write(root.join("a.yaml"), &text).unwrap());
    scene.heard().await;
    let mut file = fs::File::create(scene.root.join("a.yaml")).unwrap();
    file.write_all(pod("a", "10.0.0.1").as_bytes()).unwrap();
    // Something else is read meanwhile, new folders included.
    scene.write("b.yaml", &pod("c", "10.0.0.3"));
    fs::create_dir(scene.root.join("sub")).unwrap();
    assert_eq!(scene.heard().await, ["c [10.0.0.3]"]);
    file.write_all(pod("b", "10.0.0.4").as_bytes()).unwrap();
    drop(file);
    assert_eq!(scene.heard().await, ["b [10.0.0.4]"]);
}

#[tokio::test]
async fn what_cannot_be_read_stays_as_it_was() {
    let all = pod("a", "10.0.0.1") + &policy("p", "{podSelector: {}}");
    let mut scene = Scene::new("unreadable", |root| fs::write(root.join("a.yaml"), &all).unwrap());
    scene.heard().await;
    scene.write("a.yaml", "{{");
    let heard = scene.heard().await;
    assert!(heard.len() == 1 && heard[0].starts_with("problem: the YAML cannot be parsed"), "{heard:?}");
    // One bad object: the pod stays, the policy says itself that it was refused.
    scene.write("a.yaml", &(pod("a", "10.0.0.300") + &policy("p", "{oops: 1}")));
    let heard = scene.heard().await;
    assert_eq!(heard[0], "p refused");
    assert!(
        heard.len() == 2 && heard[1].starts_with("problem: \"10.0.0.300\" is not an IP address"),
        "{heard:?}"
    );
    scene.write("a.yaml", &all);
    assert_eq!(scene.heard().await, ["p "]);
    fs::remove_file(scene.root.join("a.yaml")).unwrap();
    assert_eq!(scene.heard().await, ["no Pod a", "no NetworkPolicy p"]);
}

#[tokio::test]
async fn a_folder_that_says_nothing_readable_is_no_complete_list() {
    let mut scene = Scene::new("nothing", |root| fs::write(root.join("a.yaml"), "{{").unwrap());
    let heard = scene.heard().await;
    assert_eq!(heard[..2], ["list Pod", "end Pod false"]);
    let (sender, _events) = channel(1);
    assert!(start("/does/not/exist".into(), sender).is_err());
}
