//! Objects as an API server would give them. Each says the same word in the field that policy reads.

use serde_json::{Value, json};

/// An object of the resource whose labels or selector say `word`.
pub fn object(plural: &str, name: &str, word: &str) -> Value {
    let labels = json!({"word": word});
    match plural {
        "pods" => json!({
            "metadata": {"name": name, "namespace": "default", "uid": name, "labels": labels,
                "managedFields": [{"manager": "kubelet", "fieldsV1": {"f:status": {"f:podIP": {}}}}]},
            "spec": {"nodeName": "n1", "containers": [{"name": "c", "env": [{"name": "A", "value": "}]"}]}]},
            "status": {"phase": "Running", "podIPs": [{"ip": "10.0.0.1"}]},
        }),
        "namespaces" => json!({"metadata": {"name": name, "labels": labels}}),
        _ => json!({
            "metadata": {"name": name, "namespace": "default", "generation": 1, "managedFields": []},
            "spec": {"podSelector": {"matchLabels": labels}, "policyTypes": ["Ingress"]},
        }),
    }
}

/// The word of an object; none of a pod that is finished.
pub fn word(plural: &str, object: &Value) -> Option<String> {
    let labels = match plural {
        "networkpolicies" => &object["spec"]["podSelector"]["matchLabels"],
        _ => &object["metadata"]["labels"],
    };
    let finished = matches!(object["status"]["phase"].as_str(), Some("Succeeded" | "Failed"));
    labels["word"].as_str().filter(|_| !finished).map(str::to_owned)
}
