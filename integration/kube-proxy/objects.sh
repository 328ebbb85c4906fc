# The API server's objects, as JSON, one function each: a node and, per family, a Service with its endpoints.
# shellcheck shell=bash disable=SC2034

node() {
  cat <<JSON
{"apiVersion":"v1","kind":"Node","metadata":{"name":"node-1"},
 "status":{"addresses":[{"type":"InternalIP","address":"172.18.0.10"}]}}
JSON
}

service() { # NAME CLUSTER-ADDRESS FAMILY
  cat <<JSON
{"apiVersion":"v1","kind":"Service","metadata":{"name":"$1"},
 "spec":{"clusterIP":"$2","ipFamilies":["$3"],"ipFamilyPolicy":"SingleStack","ports":[{"port":80,"targetPort":8080}]}}
JSON
}

endpoints() { # NAME ADDRESS FAMILY
  cat <<JSON
{"apiVersion":"discovery.k8s.io/v1","kind":"EndpointSlice","addressType":"$3",
 "metadata":{"name":"$1","labels":{"kubernetes.io/service-name":"$1"}},
 "ports":[{"name":"","port":8080,"protocol":"TCP"}],
 "endpoints":[{"addresses":["$2"],"conditions":{"ready":true}}]}
JSON
}
