{{/* Labels of everything. Names are fixed: a node has room for one Podwall, whatever the release is called. */}}
{{- define "podwall.labels" -}}
app.kubernetes.io/name: podwall
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version | replace "+" "_" }}
{{- end }}

{{/* The options that differ from the agent's defaults. */}}
{{- define "podwall.arguments" -}}
{{- $agent := .Values.agent -}}
- agent
{{- with $agent.kubeconfig }}
- --kubeconfig={{ . }}
{{- end }}
{{- with $agent.unknownPods }}
- --unknown-pods={{ . }}
{{- end }}
{{- range $agent.podInterfacePrefixes }}
- --pod-interface-prefix={{ . }}
{{- end }}
{{- range $agent.bridgeRanges }}
- --bridge-range={{ . }}
{{- end }}
{{- if ne $agent.cniConfiguration "/etc/cni/net.d" }}
- --cni-configuration={{ $agent.cniConfiguration }}
{{- end }}
{{- if not $agent.antiSpoofing }}
- --anti-spoofing=off
{{- end }}
{{- if not $agent.revocation.enabled }}
- --revocation=off
{{- else if ne $agent.revocation.mark "0x01000000" }}
- --revocation-mark={{ $agent.revocation.mark }}
{{- end }}
{{- if $agent.groupCounters }}
- --group-counters
{{- end }}
{{- if ne $agent.flowLog.log "denied" }}
- --flow-log={{ $agent.flowLog.log }}
{{- end }}
{{- if ne (int $agent.flowLog.group) 9427 }}
- --flow-log-group={{ int $agent.flowLog.group }}
{{- end }}
{{- if ne $agent.listen "127.0.0.1:9427" }}
- {{ printf "--listen=%s" $agent.listen | quote }}
{{- end }}
{{- with $agent.statusSocket }}
- --status-socket={{ . }}
{{- end }}
{{- if ne (int $agent.resyncIntervalSeconds) 60 }}
- --resync-interval-s={{ int $agent.resyncIntervalSeconds }}
{{- end }}
{{- if ne $agent.logFormat "text" }}
- --log-format={{ $agent.logFormat }}
{{- end }}
{{- if ne $agent.log "info" }}
- {{ printf "--log=%s" $agent.log | quote }}
{{- end }}
{{- end }}

{{/* Where the kubelet asks, on the node's network: the address listened on, or loopback if that is all of them. */}}
{{- define "podwall.listenPort" -}}
{{- regexFind "[0-9]+$" .Values.agent.listen -}}
{{- end }}
{{- define "podwall.probeAddress" -}}
{{- $address := regexReplaceAll ":[0-9]+$" .Values.agent.listen "" | trimPrefix "[" | trimSuffix "]" -}}
{{- if eq $address "0.0.0.0" }}127.0.0.1{{ else if eq $address "::" }}::1{{ else }}{{ $address }}{{ end -}}
{{- end }}

{{/* The folder of the status socket. */}}
{{- define "podwall.runFolder" -}}
{{- if .Values.agent.statusSocket }}{{ dir .Values.agent.statusSocket }}{{ else }}/run/podwall{{ end -}}
{{- end }}
