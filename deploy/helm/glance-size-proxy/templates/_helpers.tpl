{{- define "proxy.name" -}}
{{- if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 52 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "proxy.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "proxy.labels" -}}
{{ include "proxy.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{/* "true" where bodies of unknown size are kept on disk. */}}
{{- define "proxy.spools" -}}
{{- if eq (dig "size" "unknown" "forward" .Values.config) "spool" }}true{{ end -}}
{{- end -}}

{{/* What may be kept on the volume: nine tenths of it, as a file system needs room itself and Kubernetes evicts who fills an emptyDir. */}}
{{- define "proxy.spoolBound" -}}
{{- $units := dict "Mi" 1 "Gi" 1024 "Ti" 1048576 -}}
{{- $size := toString .Values.spool.size -}}
{{- $unit := substr (int (sub (len $size) 2)) (len $size) $size -}}
{{- printf "%dMiB" (div (mul (trimSuffix $unit $size | int) (get $units $unit) 9) 10) -}}
{{- end -}}

{{/* The kubelet speaks TLS without verifying the certificate, and presents none. */}}
{{- define "proxy.probeScheme" -}}
{{- if .Values.admin.tls.secretName }}, scheme: HTTPS{{ end -}}
{{- end -}}

{{/* The proxy's configuration file: what the user says, and over it what the pod is built for. */}}
{{- define "proxy.config" -}}
{{- $own := dict
  "upstream" (dict "url" (required "upstream: the URL of Glance, such as http://glance-api.openstack.svc:9292" .Values.upstream))
  "listen" (dict "address" "0.0.0.0:9292")
  "admin" (dict "address" "0.0.0.0:9190")
  "shutdown" (dict "drainTimeout" (printf "%ds" (int .Values.drain.uploadSeconds)))
-}}
{{- if .Values.upstreamCa.secretName -}}
{{- $_ := set $own.upstream "tls" (dict "caFile" "/etc/glance-size-proxy/upstream-ca/ca.crt") -}}
{{- end -}}
{{- if .Values.tls.secretName -}}
{{- $_ := set $own.listen "tls" (dict "certFile" "/etc/glance-size-proxy/tls/tls.crt" "keyFile" "/etc/glance-size-proxy/tls/tls.key") -}}
{{- end -}}
{{- with .Values.admin.tls -}}
{{- if .secretName -}}
{{- $folder := "/etc/glance-size-proxy/admin-tls" -}}
{{- $files := dict "certFile" (printf "%s/tls.crt" $folder) "keyFile" (printf "%s/tls.key" $folder) -}}
{{- if .verifyClients -}}
{{- $_ := set $files "clientCaFile" (printf "%s/ca.crt" $folder) -}}
{{- end -}}
{{- $_ := set $own.admin "tls" $files -}}
{{- else if .verifyClients -}}
{{- fail "admin.tls.verifyClients requires admin.tls.secretName: without TLS there are no client certificates" -}}
{{- end -}}
{{- end -}}
{{- if .Values.admin.token.secretName -}}
{{- $_ := set $own.admin "tokenFile" "/etc/glance-size-proxy/admin-token/token" -}}
{{- end -}}
{{- if include "proxy.spools" . -}}
{{- $_ := set $own "spool" (dict "dir" "/var/spool/glance-size-proxy" "maxTotal" (include "proxy.spoolBound" .)) -}}
{{- end -}}
{{- mergeOverwrite (deepCopy .Values.config) $own | toYaml -}}
{{- end -}}
