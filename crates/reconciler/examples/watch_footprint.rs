//! What hearing of many pods costs: `watch_footprint serve PODS` is a server that lists them, `watch_footprint watch
//! ADDRESS [paged]` watches it, drops what it hears, and prints time and memory. `watch_footprint hear` prints what the
//! API server of the kubeconfig says.

use std::io::{BufRead, BufReader, BufWriter, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Instant;

use podwall_reconciler::event::{Kind, WatchEvent};
use podwall_reconciler::watch::kube::{WatchOptions, client, start};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["serve", pods] => serve(pods.parse().expect("a number of pods")),
        ["hear"] => hear(),
        ["watch", address] => watch(address, true),
        ["watch", address, "paged"] => watch(address, false),
        _ => eprintln!("hear | serve PODS | watch ADDRESS [paged]"),
    }
}

#[tokio::main(flavor = "current_thread")]
async fn watch(address: &str, streaming_lists: bool) {
    let config = kube::Config::new(address.parse().expect("an address"));
    let (sender, mut events) = tokio::sync::mpsc::channel(1024);
    println!("before: {}", memory());
    let begun = Instant::now();
    let options = WatchOptions { streaming_lists, ..WatchOptions::default() };
    let _tasks = start(client(config).expect("a client"), options, sender);
    let (mut pods, mut lists, mut heard) = (0, 0, Vec::new());
    while lists < 3 {
        heard.clear();
        events.recv_many(&mut heard, 256).await;
        pods += heard
            .iter()
            .filter(|event| matches!(event, WatchEvent::Present(it) if it.kind() == Kind::Pod))
            .count();
        lists += heard.iter().filter(|event| matches!(event, WatchEvent::Listed { .. })).count();
    }
    println!("{pods} pods in {} ms, {} ms of CPU", begun.elapsed().as_millis(), cpu_ms());
    println!("after: {}", memory());
}

#[tokio::main(flavor = "current_thread")]
async fn hear() {
    let config = kube::Config::infer().await.expect("a kubeconfig");
    let (sender, mut events) = tokio::sync::mpsc::channel(1024);
    let _tasks = start(client(config).expect("a client"), WatchOptions::default(), sender);
    let begun = Instant::now();
    while let Some(event) = events.recv().await {
        println!("{:6} ms {event:?}", begun.elapsed().as_millis());
    }
}

/// Resident and peak memory.
fn memory() -> String {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let lines =
        status.lines().filter(|line| ["VmRSS", "VmHWM", "RssAnon"].iter().any(|it| line.starts_with(it)));
    lines.map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect::<Vec<_>>().join(", ")
}

fn cpu_ms() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("Linux");
    let fields: Vec<&str> = stat.split(' ').collect();
    let ticks = |index: usize| fields[index].parse::<u64>().expect("a number");
    (ticks(13) + ticks(14)) * 10
}

fn serve(pods: usize) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    println!("http://{}", listener.local_addr().expect("an address"));
    for stream in listener.incoming() {
        std::thread::spawn(move || answer(stream.expect("a connection"), pods));
    }
}

fn answer(stream: TcpStream, pods: usize) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let mut out = BufWriter::with_capacity(32 << 10, stream);
    loop {
        let mut request = String::new();
        reader.read_line(&mut request).ok().filter(|length| *length > 0)?;
        let mut line = String::new();
        while reader.read_line(&mut line).ok()? > 2 {
            line.clear();
        }
        let pods = if request.contains("/pods") { pods } else { 0 };
        let field = |name: &str| request.split(['?', '&', ' ']).find_map(|it| it.strip_prefix(name));
        out.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").ok()?;
        if field("watch=").is_some() {
            if field("sendInitialEvents=").is_some() {
                for number in 0..pods {
                    chunk(&mut out, &format!("{{\"type\":\"ADDED\",\"object\":{}}}\n", pod(number)))?;
                }
                let end = r#"{"annotations":{"k8s.io/initial-events-end":"true"},"resourceVersion":"9"}"#;
                chunk(&mut out, &format!("{{\"type\":\"BOOKMARK\",\"object\":{{\"metadata\":{end}}}}}\n"))?;
            }
            out.flush().ok()?;
            std::thread::sleep(std::time::Duration::from_secs(3600));
        }
        let first: usize = field("continue=").map_or(Some(0), |it| it.parse().ok())?;
        let end = pods.min(first + field("limit=")?.parse::<usize>().ok()?);
        let next = if end < pods { end.to_string() } else { String::new() };
        chunk(
            &mut out,
            &format!("{{\"metadata\":{{\"resourceVersion\":\"9\",\"continue\":\"{next}\"}},\"items\":["),
        )?;
        for number in first..end {
            chunk(&mut out, &format!("{}{}", if number > first { "," } else { "" }, pod(number)))?;
        }
        chunk(&mut out, "]}")?;
        out.write_all(b"0\r\n\r\n").ok()?;
        out.flush().ok()?;
    }
}

fn chunk(out: &mut impl Write, text: &str) -> Option<()> {
    write!(out, "{:x}\r\n{text}\r\n", text.len()).ok()
}

/// A pod of 6.7 KB, most of it managedFields, as Deployments make them.
fn pod(number: usize) -> String {
    let (high, low) = (number / 250, number % 250);
    let field = r#""f:k":{".":{},"f:name":{},"f:value":{}},"#;
    let managed = format!(
        "{{\"manager\":\"kubelet\",\"fieldsV1\":{{\"f:spec\":{{{}\"f:a\":{{}}}}}}}}",
        field.repeat(105)
    );
    format!(
        r#"{{"metadata":{{"name":"web-7d4b9c-{number}","generateName":"web-7d4b9c-","namespace":"team-{}","uid":"{number:032x}","resourceVersion":"{number}","creationTimestamp":"2026-11-20T10:00:00Z","labels":{{"app":"web","pod-template-hash":"7d4b9c","tier":"t{}"}},"annotations":{{"checksum/config":"{number:064x}"}},"ownerReferences":[{{"kind":"ReplicaSet","name":"web-7d4b9c"}}],"managedFields":[{managed}]}},"spec":{{"nodeName":"node-{}","containers":[{{"name":"web","image":"registry/web:1","ports":[{{"name":"http","containerPort":8080,"protocol":"TCP"}}],"env":[{}{{"name":"LAST","value":"x"}}],"resources":{{"limits":{{"cpu":"1"}}}}}}],"restartPolicy":"Always","tolerations":[{{"key":"node.kubernetes.io/not-ready","operator":"Exists"}}]}},"status":{{"phase":"Running","conditions":[{{"type":"Ready","status":"True","lastTransitionTime":"2026-11-20T10:00:01Z"}}],"hostIP":"10.0.0.1","podIP":"10.{}.{high}.{low}","podIPs":[{{"ip":"10.{}.{high}.{low}"}}],"startTime":"2026-11-20T10:00:00Z"}}}}"#,
        number % 100,
        number % 7,
        number % 1000,
        r#"{"name":"SETTING","value":"some value of it"},"#.repeat(20),
        high / 250,
        high / 250,
        high = high % 250,
    )
}
