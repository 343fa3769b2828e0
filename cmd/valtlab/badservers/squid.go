package badservers

import (
	"fmt"
	"strings"
)

// squidConfig is one squid with a port for each kind of customer's proxy. It looks up
// names at the world and trusts the lab's authority, so that what it finds behind itself
// is in order and only it stands in the way.
func squidConfig() []byte {
	port := func(p Place, name, more string) string {
		return strings.TrimSpace(fmt.Sprintf("http_port %d name=%s %s", p.Port, name, more))
	}
	return []byte(strings.Join([]string{
		"# The customer's proxies.",
		port(ProxyPlain, "plain", ""),
		port(ProxyReads, "reads", "ssl-bump generate-host-certificates=on dynamic_cert_mem_cache_size=4MB tls-cert="+
			folder+"/inspection.pem tls-key="+folder+"/inspection.key"),
		port(ProxyLogin, "login", ""),
		port(ProxyRefuses, "refuses", ""),
		"sslcrtd_program /usr/lib/squid/security_file_certgen -s /run/squid-certificates -M 4MB",
		"sslcrtd_children 2 startup=1",
		"tls_outgoing_options cafile=" + folder + "/ca.pem",
		"auth_param basic program /usr/lib/squid/basic_ncsa_auth " + folder + "/nobody",
		"auth_param basic realm proxy of the practice site",
		"acl connect method CONNECT",
		"acl reads myportname reads",
		"acl login myportname login",
		"acl refuses myportname refuses",
		"acl known proxy_auth REQUIRED",
		"acl hello at_step SslBump1",
		"ssl_bump peek hello",
		"ssl_bump bump reads",
		"http_access deny refuses",
		"http_access deny login !known",
		"http_access allow all",
		"cache deny all",
		"cache_mem 8 MB",
		"max_filedescriptors 4096",
		"pid_filename /run/squid.pid",
		"coredump_dir /tmp",
		"access_log stdio:/var/log/squid/access.log",
		"shutdown_lifetime 1 seconds",
		"visible_hostname proxy.peers.example",
		"",
	}, "\n"))
}
