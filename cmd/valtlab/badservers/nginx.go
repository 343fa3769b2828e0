package badservers

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"
	"time"

	"ipivs.com/valtctl/cmd/valtlab/vendorsim"
)

// AheadBy is how far the clock of Tomorrow is ahead.
const AheadBy = 24 * time.Hour

// server is one virtual server of nginx, each on a port of its own.
type server struct {
	place       Place
	certificate string // name of a pair in folder; empty: plain
	body        []string
}

// captive is what hotel and guest networks answer to everything: a page, with 200.
const captive = `location / { default_type text/html; return 200 '<!DOCTYPE html><html><head><title>Welcome to the guest network</title></head>` +
	`<body><form action="/login">Accept the terms to go on</form></body></html>'; }`

// nginxConfig is the whole of nginx.conf as of now: a Date that is ahead is written into
// it, so it is right for as long as a scenario takes. With login, "user:password", the blobs of the world's registry
// are fetched.
func nginxConfig(now time.Time, login string) []byte {
	var text strings.Builder
	text.WriteString(strings.Join([]string{
		"# Servers that are not as they should be.",
		"load_module modules/ngx_http_headers_more_filter_module.so;",
		"user www-data;",
		"pid /run/nginx.pid;",
		"error_log /var/log/nginx/error.log;",
		"events { worker_connections 512; }",
		"http {",
		"  default_type application/octet-stream;",
		"  access_log /var/log/nginx/access.log;",
		"  root /srv/empty;",
		"",
	}, "\n"))
	for _, s := range servers(now, login) {
		s.write(&text)
	}
	text.WriteString("}\n")
	return []byte(text.String())
}

// registry answers as one does whose blobs come from somewhere else.
func registry(blobs Place) []string {
	return []string{
		"location = /v2/ { default_type application/json; return 200 '{}'; }",
		"location ~ ^/v2/.+/blobs/ { return 307 https://" + blobs.Endpoint() + "$request_uri; }",
	}
}

func servers(now time.Time, login string) []server {
	cdn := []string{"location /v2/ { proxy_pass https://" + vendorsim.Registry + "; proxy_set_header Host " + vendorsim.Registry +
		"; proxy_set_header Authorization 'Basic " + base64.StdEncoding.EncodeToString([]byte(login)) + "'; }"}
	meta := "location = /meta-release-lts { default_type text/plain; alias " + folder + "/meta-release-lts; }"
	date := now.Add(AheadBy).UTC().Format(http.TimeFormat)
	apt := func(kind string) string { return "location /ubuntu/ { alias /srv/" + kind + "/; }" }
	return []server{
		{Expired, "expired", []string{meta}},
		{Tomorrow, "tomorrow", []string{"more_set_headers 'Date: " + date + "';", meta}},
		{OtherName, "other", []string{meta}},
		{CaptiveTLS, "good", []string{captive}},
		{NoRegistry, "good", []string{`location / { default_type text/plain; return 200 "It works!\n"; }`}},
		{CaptivePlain, "", []string{captive}},
		{AptStranger, "", []string{apt("stranger")}},
		{AptTampered, "", []string{apt("tampered")}},
		{BlobsElsewhere, "good", registry(CDN)},
		{CDN, "good", cdn},
		{BlobsIntercepted, "good", registry(CDNIntercepted)},
		{CDNIntercepted, "inspected", cdn},
	}
}

func (s server) write(text *strings.Builder) {
	tls := ""
	if s.certificate != "" {
		tls = " ssl"
	}
	fmt.Fprintf(text, "  server {\n    listen %d%s;\n", s.place.Port, tls)
	if tls != "" {
		fmt.Fprintf(text, "    ssl_certificate %[1]s/%[2]s.pem;\n    ssl_certificate_key %[1]s/%[2]s.key;\n", folder, s.certificate)
	}
	for _, line := range s.body {
		text.WriteString("    " + line + "\n")
	}
	text.WriteString("  }\n")
}
