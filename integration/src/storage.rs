//! Objects that are put into etcd past the API server, which would refuse them: an older version of it may have taken
//! them, or a webhook or whoever restores a backup may have changed them.

use anyhow::Result;
use http::Method;
use k8s_openapi::ByteString;
use serde_json::{Value as Json, json};

use crate::api_server::ApiServer;
use crate::objects::{Kind, Objects};

/// Objects in etcd. They are gone when this is dropped: the API server could not delete what it cannot name.
pub struct Storage {
    etcd: Objects,
    keys: Vec<String>,
}

impl Storage {
    /// Nothing is put there yet.
    pub fn open(api: &ApiServer) -> Result<Self> {
        let path = api.folder().join("etcd.kubeconfig");
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "etcd",
            "clusters": [{"name": "etcd", "cluster": {"server": "http://127.0.0.1:2379"}}],
            "users": [{"name": "etcd", "user": {}}],
            "contexts": [{"name": "etcd", "context": {"cluster": "etcd", "user": "etcd"}}],
        });
        std::fs::write(&path, config.to_string())?;
        Ok(Self { etcd: Objects::new(&path)?, keys: Vec::new() })
    }

    /// Puts an object there as it is; `place` is what etcd calls it, whatever its own name is.
    pub fn plant(&mut self, kind: Kind, place: &str, object: &Json) -> Result<()> {
        let key = format!("/registry/{}/{place}", kind.plural());
        let put = json!({"key": encoded(&key), "value": encoded(&object.to_string())});
        self.etcd.call(Method::POST, "/v3/kv/put", put)?;
        self.keys.push(key);
        Ok(())
    }
}

impl Drop for Storage {
    fn drop(&mut self) {
        for key in &self.keys {
            let delete = json!({"key": encoded(key)});
            if let Err(error) = self.etcd.call(Method::POST, "/v3/kv/deleterange", delete) {
                eprintln!("{key} stays in etcd: {error:#}");
            }
        }
    }
}

/// In base 64, as etcd's JSON has bytes.
fn encoded(text: &str) -> Json {
    serde_json::to_value(ByteString(text.as_bytes().to_vec())).expect("plain data")
}
