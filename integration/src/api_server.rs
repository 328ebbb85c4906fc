//! A real etcd and kube-apiserver, in the network namespace that this thread is in.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use http::Method;
use serde_json::{Value as Json, json};

use crate::json::documents;
use crate::objects::Objects;
use crate::process::Process;

/// Where it is reached from every namespace of the lab: an address of the lab's first one.
const ADDRESS: &str = "192.0.2.1";
/// Where Services have their addresses; the lab's are in here.
const SERVICE_NETWORKS: &str = "10.96.0.0/12,fd00:10:96::/112";
/// How long it may take to be ready.
const START_LIMIT: Duration = Duration::from_secs(60);
/// The token of the administrator, of a server that nobody else can reach.
const ADMIN_TOKEN: &str = "administrator";

/// Which way what etcd has is copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// To where it is kept.
    BackUp,
    /// From there, in place of what is there now.
    Restore,
}

/// An API server with the objects of `deploy/base/rbac.yaml`. It ends when it is dropped or this process dies; its folder
/// goes when it is dropped.
pub struct ApiServer {
    folder: PathBuf,
    kept: bool,
    binaries: PathBuf,
    etcd: Option<Process>,
    server: Option<Process>,
    hidden: Option<Process>,
}

/// Where a server is reached, and the folder of its certificate.
#[derive(Debug, Clone, Copy)]
struct Door {
    name: &'static str,
    bind: &'static str,
    address: &'static str,
    port: u16,
}

/// Every namespace of the lab reaches this one.
const PUBLIC: Door = Door { name: "kube-apiserver", bind: "0.0.0.0", address: ADDRESS, port: 6443 };
/// And this one nobody but us: it is on the loopback of our namespace.
const HIDDEN: Door =
    Door { name: "kube-apiserver-hidden", bind: "127.0.0.1", address: "127.0.0.1", port: 6444 };

impl ApiServer {
    /// Starts one that keeps everything in `folder`, which is emptied first.
    pub fn start(folder: &Path) -> Result<Self> {
        let binaries =
            std::env::var_os("KUBEBUILDER_ASSETS").map(PathBuf::from).unwrap_or_else(default_binaries);
        for binary in ["etcd", "kube-apiserver"] {
            let path = binaries.join(binary);
            ensure!(
                path.exists(),
                "{} is missing: run `make kube`, or name its folder in KUBEBUILDER_ASSETS",
                path.display()
            );
        }
        if folder.exists() {
            fs::remove_dir_all(folder)?;
        }
        fs::create_dir_all(folder)?;
        let folder = fs::canonicalize(folder)?;
        fs::write(folder.join("tokens"), format!("{ADMIN_TOKEN},admin,admin,system:masters\n"))?;
        let key = folder.join("key").display().to_string();
        run("openssl", &["ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", &key])?;
        run("ip", &["link", "set", "lo", "up"])?;
        run("ip", &["address", "replace", &format!("{ADDRESS}/32"), "dev", "lo"])?;
        let mut server = Self { folder, kept: false, binaries, etcd: None, server: None, hidden: None };
        server.resume()?;
        server.create_service_account()?;
        Ok(server)
    }

    /// Ends all processes at once; what they know stays in the folder.
    pub fn stop(&mut self) {
        self.server = None;
        self.hidden = None;
        self.etcd = None;
    }

    /// Starts it again on what it knew, and waits until it is ready.
    pub fn resume(&mut self) -> Result<()> {
        self.server = Some(self.open(PUBLIC, &self.admin())?);
        Ok(())
    }

    /// While the server is away: another one with the same objects, which no agent can reach.
    pub fn start_hidden(&mut self) -> Result<Objects> {
        let kubeconfig = self.folder.join("hidden.kubeconfig");
        self.hidden = Some(self.open(HIDDEN, &kubeconfig)?);
        Objects::new(&kubeconfig)
    }

    /// Ends that one.
    pub fn stop_hidden(&mut self) {
        self.hidden = None;
    }

    /// Keeps a copy of what etcd has, which must be stopped, or puts it back.
    pub fn copy_storage(&self, direction: Direction) -> Result<()> {
        ensure!(self.etcd.is_none(), "etcd runs");
        let (own, backup) = (self.folder.join("etcd"), self.folder.join("etcd.backup"));
        let (from, to) = match direction {
            Direction::BackUp => (own, backup),
            Direction::Restore => (backup, own),
        };
        if to.exists() {
            fs::remove_dir_all(&to)?;
        }
        run("cp", &["-r", &from.display().to_string(), &to.display().to_string()])
    }

    /// Starts a server, and etcd when it does not run, and waits until the server is ready.
    fn open(&mut self, door: Door, kubeconfig: &Path) -> Result<Process> {
        let started = Instant::now();
        let log = |name: &str| self.folder.join(format!("{name}.log"));
        if self.etcd.is_none() {
            let etcd = Process::start(&self.binaries.join("etcd"), self.etcd_arguments(), &log("etcd"))?;
            self.etcd = Some(etcd);
        }
        let arguments = self.server_arguments(door);
        let mut server = Process::start(&self.binaries.join("kube-apiserver"), arguments, &log(door.name))?;
        loop {
            self.etcd.iter_mut().chain([&mut server]).try_for_each(Process::check)?;
            match self.is_ready(door, kubeconfig) {
                Ok(()) => return Ok(server),
                Err(error) if started.elapsed() > START_LIMIT => {
                    return Err(error).context("the API server does not become ready");
                }
                Err(_) => sleep(Duration::from_millis(50)),
            }
        }
    }

    /// Leaves the folder, for somebody to look at the logs.
    pub fn keep(&mut self) {
        self.kept = true;
    }

    /// The kubeconfig of an administrator.
    pub fn admin(&self) -> PathBuf {
        self.folder.join("admin.kubeconfig")
    }

    /// The kubeconfig of the service account that the agent has in a cluster, with the rights of `deploy/base/rbac.yaml`.
    pub fn agent(&self) -> PathBuf {
        self.folder.join("agent.kubeconfig")
    }

    /// Where everything is kept; suites may keep logs here too.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    fn etcd_arguments(&self) -> Vec<String> {
        let data = self.folder.join("etcd");
        vec![format!("--data-dir={}", data.display()), "--unsafe-no-fsync".into(), "--log-level=warn".into()]
    }

    fn server_arguments(&self, door: Door) -> Vec<String> {
        let file = |name: &str| self.folder.join(name).display().to_string();
        vec![
            "--etcd-servers=http://127.0.0.1:2379".into(),
            format!("--cert-dir={}", certificates(&self.folder, door).display()),
            format!("--bind-address={}", door.bind),
            format!("--secure-port={}", door.port),
            format!("--advertise-address={ADDRESS}"),
            "--service-account-issuer=https://kubernetes.default.svc".into(),
            format!("--service-account-key-file={}", file("key")),
            format!("--service-account-signing-key-file={}", file("key")),
            format!("--token-auth-file={}", file("tokens")),
            "--authorization-mode=RBAC".into(),
            // There is no controller that makes service accounts for namespaces.
            "--disable-admission-plugins=ServiceAccount".into(),
            format!("--service-cluster-ip-range={SERVICE_NETWORKS}"),
            // The suites ask more in a second than people do in an hour.
            "--max-requests-inflight=0".into(),
            "--max-mutating-requests-inflight=0".into(),
            "--enable-priority-and-fairness=false".into(),
        ]
    }

    fn is_ready(&self, door: Door, kubeconfig: &Path) -> Result<()> {
        self.write_kubeconfig(door, kubeconfig, ADMIN_TOKEN)?;
        let admin = Objects::new(kubeconfig)?;
        for path in ["/readyz", "/api/v1/namespaces/default", "/api/v1/namespaces/kube-system"] {
            admin.call(Method::GET, path, Json::Null)?;
        }
        Ok(())
    }

    /// The server makes its own certificate when it starts.
    fn write_kubeconfig(&self, door: Door, path: &Path, token: &str) -> Result<()> {
        let certificate = certificates(&self.folder, door).join("apiserver.crt");
        ensure!(certificate.exists(), "there is no certificate yet");
        let server = format!("https://{}:{}", door.address, door.port);
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "lab",
            "clusters": [{"name": "lab", "cluster": {"server": server, "certificate-authority": certificate}}],
            "users": [{"name": "lab", "user": {"token": token}}],
            "contexts": [{"name": "lab", "context": {"cluster": "lab", "user": "lab"}}],
        });
        fs::write(path, config.to_string()).with_context(|| path.display().to_string())
    }

    fn create_service_account(&self) -> Result<()> {
        let admin = Objects::new(&self.admin())?;
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/base/rbac.yaml");
        for object in documents(&fs::read(&file).with_context(|| file.display().to_string())?)? {
            let path = match object["kind"].as_str() {
                Some("ServiceAccount") => "/api/v1/namespaces/kube-system/serviceaccounts",
                Some("ClusterRole") => "/apis/rbac.authorization.k8s.io/v1/clusterroles",
                Some("ClusterRoleBinding") => "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
                other => bail!("{}: who makes a {other:?}?", file.display()),
            };
            admin.call(Method::POST, path, object)?;
        }
        let path = "/api/v1/namespaces/kube-system/serviceaccounts/podwall/token";
        let request = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest",
                             "spec": {"expirationSeconds": 86_400}});
        let answer = admin.call(Method::POST, path, request)?;
        let token = answer["status"]["token"].as_str().context("the API server gave no token")?;
        self.write_kubeconfig(PUBLIC, &self.agent(), token)
    }
}

impl Drop for ApiServer {
    fn drop(&mut self) {
        self.stop();
        if !self.kept && !std::thread::panicking() {
            let _ = fs::remove_dir_all(&self.folder);
        }
    }
}

fn certificates(folder: &Path, door: Door) -> PathBuf {
    folder.join(format!("{}.certificates", door.name))
}

fn default_binaries() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/kube")
}

fn run(program: &str, arguments: &[&str]) -> Result<()> {
    let output = Command::new(program).args(arguments).output().with_context(|| program.to_owned())?;
    ensure!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}
