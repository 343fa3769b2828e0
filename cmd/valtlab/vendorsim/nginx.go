package vendorsim

import (
	"fmt"
	"net/netip"
	"strings"
)

// Where the world's container finds its files.
const (
	MirrorFolder  = "/srv/mirror"          // one apt repository a vendor: ubuntu, ipivs, docker
	ReleaseFolder = "/srv/release/current" // the release repository
	TLSFolder     = "/etc/valtlab/tls"     // world.pem, world.key
	registryPort  = "127.0.0.1:5000"
)

// server is one virtual server of nginx. Body lines are its directives.
type server struct {
	names   []string
	plain   bool // port 80
	tls     bool // port 443
	isFirst bool // answers requests for names nobody has
	body    []string
}

// NginxConfig is the whole of nginx.conf for the world at the address.
func NginxConfig(address netip.Addr) []byte {
	var text strings.Builder
	text.WriteString(strings.Join([]string{
		"# The practice site's stand-ins for the servers of the vendor's network page.",
		"user www-data;",
		"worker_processes auto;",
		"pid /run/nginx.pid;",
		"error_log /var/log/nginx/error.log;",
		"events { worker_connections 1024; }",
		"http {",
		"  include /etc/nginx/mime.types;",
		"  default_type application/octet-stream;",
		"  log_format lab '$time_iso8601 $remote_addr $host \"$request\" $status $body_bytes_sent';",
		"  access_log /var/log/nginx/access.log lab;",
		"  sendfile on;",
		"  root /srv/empty;",
		"  server_names_hash_bucket_size 128;",
		"  ssl_certificate " + TLSFolder + "/world.pem;",
		"  ssl_certificate_key " + TLSFolder + "/world.key;",
		"",
	}, "\n"))
	for _, s := range servers(address) {
		s.write(&text)
	}
	text.WriteString("}\n")
	return []byte(text.String())
}

func servers(address netip.Addr) []server {
	repository := func(path, vendor string) string {
		return fmt.Sprintf("location %s/ { alias %s/%s/; }", path, MirrorFolder, vendor)
	}
	return []server{
		{names: []string{IPIVS, address.String()}, plain: true, tls: true, isFirst: true, body: []string{
			repository("/ubuntu", "ipivs"),
			"location /valt/ { alias " + ReleaseFolder + "/; }",
		}},
		{names: []string{UbuntuArchive, UbuntuSecurity}, plain: true, body: []string{repository("/ubuntu", "ubuntu")}},
		{names: []string{Docker}, tls: true, body: []string{repository("/linux/ubuntu", "docker")}},
		{names: []string{Registry}, tls: true, body: registryBody()},
		{names: []string{Changelogs}, plain: true, tls: true, body: []string{
			"location = /meta-release-lts { default_type text/plain; alias /etc/valtlab/meta-release-lts; }",
		}},
		{names: Licences(), plain: true, body: []string{
			`location / { default_type text/plain; return 200 "licence server\n"; }`,
		}},
		{names: []string{ACME}, tls: true, body: []string{
			"location = /directory { default_type application/json; alias /etc/valtlab/acme-directory.json; }",
		}},
		{names: []string{Route53}, tls: true, body: []string{
			`location / { default_type text/xml; return 403 '<ErrorResponse><Error><Code>MissingAuthenticationToken</Code></Error></ErrorResponse>'; }`,
		}},
	}
}

// registryBody passes everything on to the registry as it came, bodies of any size
// streamed; the registry builds the addresses of its answers from these headers.
func registryBody() []string {
	return []string{
		"client_max_body_size 0;",
		"chunked_transfer_encoding on;",
		"location / {",
		"  proxy_pass http://" + registryPort + ";",
		"  proxy_http_version 1.1;",
		"  proxy_request_buffering off;",
		"  proxy_buffering off;",
		"  proxy_read_timeout 900;",
		"  proxy_set_header Host $http_host;",
		"  proxy_set_header X-Real-IP $remote_addr;",
		"  proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;",
		"  proxy_set_header X-Forwarded-Proto $scheme;",
		"}",
	}
}

func (s server) write(text *strings.Builder) {
	suffix := ""
	if s.isFirst {
		suffix = " default_server"
	}
	text.WriteString("  server {\n")
	if s.plain {
		fmt.Fprintf(text, "    listen 80%s;\n", suffix)
	}
	if s.tls {
		fmt.Fprintf(text, "    listen 443 ssl%s;\n", suffix)
	}
	fmt.Fprintf(text, "    server_name %s;\n", strings.Join(s.names, " "))
	for _, line := range s.body {
		text.WriteString("    " + line + "\n")
	}
	text.WriteString("  }\n")
}
