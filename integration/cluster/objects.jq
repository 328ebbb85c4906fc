# A scenario's objects as a cluster runs them. In: the objects of its files; $scenario, $image, $nodes.
# All scenarios run at once, so each has its own namespaces: a08-app for app, and what names a namespace is renamed too.
# A Deployment becomes its pods, and a Service one for each pod behind it: a probe names the replica that it means.

def renamed: "\($scenario)-\(.)";
def name_label: "kubernetes.io/metadata.name";

def rename_selectors:
  walk(
    if type == "object" and (.[name_label] | type) == "string" then .[name_label] |= renamed
    elif type == "object" and .key? == name_label and .values? then .values |= map(renamed)
    else . end);

def pods_of_deployment:
  . as $deployment | range(.spec.replicas // 1) | . as $number
  | {apiVersion: "v1", kind: "Pod", spec: $deployment.spec.template.spec,
     metadata: {name: "\($deployment.metadata.name)-\($number)", namespace: $deployment.metadata.namespace,
                labels: $deployment.spec.template.metadata.labels}}
  | .spec.nodeName //= "node-\($number % 2 + 1)";

def pods_of_daemonset:
  . as $daemonset | "node-1", "node-2" | . as $node
  | {apiVersion: "v1", kind: "Pod", spec: $daemonset.spec.template.spec,
     metadata: {name: "\($daemonset.metadata.name)-\($node)", namespace: $daemonset.metadata.namespace,
                labels: $daemonset.spec.template.metadata.labels}}
  | .spec.nodeName = $node;

# Listens on the ports that the manifest declares, and has a shell, to probe from.
def containers:
  [.spec.containers[].ports // [] | .[]] as $ports
  | ([$ports[] | select((.protocol // "TCP") == "TCP")]) as $tcp
  | ([$ports[] | select(.protocol == "UDP")]) as $udp
  | [{name: "tcp", image: $image, command: ["/agnhost", "porter"], ports: $tcp,
      env: [$tcp[] | {name: "SERVE_PORT_\(.containerPort)", value: "here"}]}]
    + [$udp[] | {name: "udp-\(.containerPort)", image: $image, ports: [.],
                 command: ["/agnhost", "netexec", "--http-port=\(20000 + .containerPort % 10000)", "--udp-port=\(.containerPort)"]}];

def pod:
  .metadata.namespace |= renamed
  | .metadata.labels += {"probed-as": .metadata.name}
  | .spec = {nodeName: $nodes[(.spec.nodeName // "node-1")[5:] | tonumber - 1], terminationGracePeriodSeconds: 0,
             automountServiceAccountToken: false, enableServiceLinks: false, containers: containers};

def services($pods):
  . as $service | $pods[]
  | select(.metadata.namespace == $service.metadata.namespace)
  | select(.metadata.labels // {} | contains($service.spec.selector))
  | . as $pod | $service
  | .metadata.name += "-via-" + $pod.metadata.name
  | .metadata.namespace |= renamed
  | .spec.ipFamilyPolicy = "PreferDualStack"
  | .metadata.labels = {"leads-to": $pod.metadata.name}
  | .spec.selector += {"probed-as": $pod.metadata.name};

(map(if .kind == "Deployment" then pods_of_deployment
      elif .kind == "DaemonSet" then pods_of_daemonset
      else select(.kind == "Pod") end)) as $pods
| ([.[] | .metadata.namespace // empty] + [.[] | select(.kind == "Namespace").metadata.name] | unique | map(renamed)) as $namespaces
| [
    ($namespaces[] | {apiVersion: "v1", kind: "Namespace", metadata: {name: .}}),
    (.[] | select(.kind == "Namespace") | {apiVersion, kind, metadata: {name: (.metadata.name | renamed), labels: .metadata.labels}}),
    ($pods[] | pod),
    (.[] | select(.kind == "Service") | services($pods)),
    (.[] | select(.kind == "NetworkPolicy") | .metadata.namespace |= renamed | rename_selectors)
  ]
| group_by([.kind, .metadata.namespace, .metadata.name]) | map(last)
