// Package network is the vendor's network requirements as data, and what they mean for
// one site. Every row of every table of the vendor's page stands here once, with an id that
// stays, so that a check, a firewall request and a person can name it; Flows applies the
// rows to a site. It is pure: it asks no network, and whether a flow works is for
// installer/check to find out. The page is the only source of the vendor's rows (a test
// compares them both ways with testdata/network/network-requirements.txt).
package network

import "ipivs.com/valtctl/installer/site"

// Protocol is what a firewall matches on.
type Protocol string

// The protocols. GRE and ESP have no ports.
const (
	TCP Protocol = "tcp"
	UDP Protocol = "udp"
	GRE Protocol = "gre"
	ESP Protocol = "esp"
)

// Basis says who asks for a row.
type Basis string

// Vendor rows stand on the vendor's page. Advisory rows do not, but a site needs them; on
// their own they never fail it. What was observed is on no list: a check was led there.
const (
	Vendor   Basis = "vendor"
	Advisory Basis = "advisory"
	Seen     Basis = "observed"
)

// Key is a row's mark in the page's keys.
type Key string

// The keys of the page.
const (
	Always         Key = "always"
	SSLOff         Key = "ssl-off"
	SSLOn          Key = "ssl-on"
	Administration Key = "administration"
)

// End is a row's source or destination: which machines of a site it stands for.
type End string

// The ends. The page calls them what each Row's Source and Destination say.
const (
	Clients    End = "clients"
	Admins     End = "admins"
	Devices    End = "beam" // BEAM's mobile devices
	AppServer  End = "app"
	MediaHosts End = "media"
	AllServers End = "servers"  // "Application & Media Server": every host, whatever its roles
	Cameras    End = "cameras"  // the media host's own
	Licensed   End = "licensed" // media hosts with an electronic licence
	Endpoint   End = "endpoint" // a name of the page, or what the site has instead
	Tunnel     End = "tunnel"   // the cloud's end of the tunnel
	DNS        End = "dns"
	NTP        End = "ntp"
	NTS        End = "nts" // those that a host's chrony asks with NTS: only the host knows (Further)
	Proxy      End = "proxy"
)

// Row is one requirement.
type Row struct {
	ID          string   `json:"id"` // "client.https"
	Key         Key      `json:"key"`
	Protocol    Protocol `json:"protocol"`
	Port        uint16   `json:"port,omitempty"` // 0: the protocol has none, or the site says it
	Application string   `json:"application"`    // the page's Protocol column: "HTTPS"
	Service     string   `json:"service"`        // the page's Service or Package column
	Source      string   `json:"source"`         // in the page's words
	Destination string   `json:"destination"`    // in the page's words
	From        End      `json:"from"`
	To          End      `json:"to"`
}

// Table is one table of the page, or of what the page leaves out.
type Table struct {
	ID    string   `json:"id"`
	Title string   `json:"title"`           // the page's heading
	Notes []string `json:"notes,omitempty"` // what the page says about it
	Basis Basis    `json:"basis"`
	Rows  []Row    `json:"rows"`

	applies func(*site.Site) bool
}

func always(*site.Site) bool { return true }

func multiple(s *site.Site) bool { return s.Cloud == nil }

func inCloud(s *site.Site) bool { return s.Cloud != nil }

// Tables lists every table in the page's order, and then the advisory one.
func Tables() []Table {
	return []Table{
		clientTable(), cameraTable(), beamTable(), updatesTable(), appToMediaTable(), mediaToAppTable(),
		licenceTable(), tunnelTable(), certificateTable(), advisoryTable(),
	}
}

func clientTable() Table {
	const all = "Application & Media Server"
	return Table{
		ID: "client", Title: "Client to Application & Media Server(s)", Basis: Vendor, applies: always,
		Notes: []string{"the ports that must be opened for client machines to speak to the VALT Application and Media servers"},
		Rows: []Row{
			{"client.http", SSLOff, TCP, 80, "HTTP", "Web Application", "Client", "Application Server", Clients, AppServer},
			{"client.ws", SSLOff, TCP, 1935, "WS", "Video Streaming", "Client", all, Clients, AllServers},
			{"client.https", SSLOn, TCP, 443, "HTTPS", "Web Application", "Client", "Application Server", Clients, AppServer},
			{"client.wss", SSLOn, TCP, 444, "WSS", "Video Streaming", "Client", all, Clients, AllServers},
			{"client.downloads", Always, TCP, 8000, "HTTP/HTTPS*", "Downloads/Wowza webserver", "Client", all, Clients, AllServers},
			{"admin.ssh", Administration, TCP, 22, "SSH", "SSH", "Client", all, Admins, AllServers},
			{"admin.wowza", Administration, TCP, 8088, "HTTP", "Wowza admin", "Client", all, Admins, AllServers},
		},
	}
}

func cameraTable() Table {
	return Table{
		ID: "camera", Title: "Media Server(s) to Video Device(s)", Basis: Vendor, applies: always,
		Notes: []string{"the ports that must be opened for the video devices to communicate with VALT"},
		Rows: []Row{
			{"camera.http", Always, TCP, 80, "HTTP", "Web Application/API", "Media Server", "Camera", MediaHosts, Cameras},
			{"camera.rtsp", Always, TCP, 554, "RTSP", "Video Stream", "Media Server", "Camera", MediaHosts, Cameras},
		},
	}
}

func beamTable() Table {
	return Table{
		ID: "beam", Title: "BEAM (Mobile Application)", Basis: Vendor, applies: func(s *site.Site) bool { return s.Beam != nil },
		Notes: []string{"Only required for those who have purchased BEAM licenses."},
		Rows: []Row{
			{"beam.http", SSLOff, TCP, 80, "HTTP", "BEAM API/HTTP Upload", "BEAM Device", "Media Server", Devices, MediaHosts},
			{"beam.rtmp", SSLOff, TCP, 1935, "RTMP", "Video Streaming", "BEAM Device", "Media Server", Devices, MediaHosts},
			{"beam.https", SSLOn, TCP, 443, "HTTPS", "BEAM API/HTTPS Upload", "BEAM Device", "Media Server", Devices, MediaHosts},
			{"beam.rtmps", SSLOn, TCP, 444, "RTMP", "Video Streaming", "BEAM Device", "Media Server", Devices, MediaHosts},
		},
	}
}

func updatesTable() Table {
	const all = "Application & Media Server"
	return Table{
		ID: "updates", Title: "Online Updates", Basis: Vendor, applies: func(s *site.Site) bool { return s.Updates.Source == site.Online },
		Notes: []string{"Valid DNS servers are required to download updates."},
		Rows: []Row{
			{"updates.ubuntu-archive", Always, TCP, 80, "HTTP", "Ubuntu", all, "http://us.archive.ubuntu.com", AllServers, Endpoint},
			{"updates.ubuntu-security", Always, TCP, 80, "HTTP", "Ubuntu", all, "http://security.ubuntu.com", AllServers, Endpoint},
			{"updates.ivs-apt", Always, TCP, 443, "HTTPS", "IVS", all, "https://apt.ipivs.com", AllServers, Endpoint},
			{"updates.ubuntu-changelogs", Always, TCP, 443, "HTTPS", "Ubuntu Changelogs", all, "https://changelogs.ubuntu.com", AllServers, Endpoint},
			{"updates.docker-apt", Always, TCP, 443, "HTTPS", "Docker", all, "https://download.docker.com", AllServers, Endpoint},
			{"updates.docker-registry", Always, TCP, 443, "HTTPS", "Docker", all, "https://docker.ipivs.com", AllServers, Endpoint},
		},
	}
}

const multipleNote = "Only required for installations where additional servers, acting as Media Servers, are present."

func appToMediaTable() Table {
	const app, media, engine = "Application Server", "Media Server", "Wowza Streaming Engine"
	return Table{
		ID: "app-to-media", Title: "Application Server to Media Server(s)", Basis: Vendor, applies: multiple, Notes: []string{multipleNote},
		Rows: []Row{
			{"app-to-media.ssh", Always, TCP, 22, "SSH", "OS", app, media, AppServer, MediaHosts},
			{"app-to-media.https", SSLOn, TCP, 444, "HTTPS", engine, app, media, AppServer, MediaHosts},
			{"app-to-media.http", SSLOff, TCP, 1935, "HTTP", engine, app, media, AppServer, MediaHosts},
			{"app-to-media.webserver", Always, TCP, 8000, "HTTP/HTTPS", engine, app, media, AppServer, MediaHosts},
			{"app-to-media.control", Always, TCP, 8086, "HTTP/HTTPS", engine, app, media, AppServer, MediaHosts},
			{"app-to-media.rest", Always, TCP, 8087, "HTTP", engine, app, media, AppServer, MediaHosts},
		},
	}
}

func mediaToAppTable() Table {
	const app, media, engine, api = "Application Server", "Media Server", "Wowza Streaming Engine", "Wowza Streaming API"
	return Table{
		ID: "media-to-app", Title: "Media Server(s) to Application Server", Basis: Vendor, applies: multiple, Notes: []string{multipleNote},
		Rows: []Row{
			{"media-to-app.ssh", Always, TCP, 22, "SSH", "OS", media, app, MediaHosts, AppServer},
			{"media-to-app.http", SSLOff, TCP, 80, "HTTP", api, media, app, MediaHosts, AppServer},
			{"media-to-app.https", SSLOn, TCP, 443, "HTTPS", api, media, app, MediaHosts, AppServer},
			{"media-to-app.control", Always, TCP, 8086, "HTTP/HTTPS", engine, media, app, MediaHosts, AppServer},
			{"media-to-app.rest", Always, TCP, 8087, "HTTP", engine, media, app, MediaHosts, AppServer},
		},
	}
}

func licenceTable() Table {
	row := func(id, name string) Row {
		return Row{id, Always, TCP, 80, "HTTP", "", "Media Server", name, Licensed, Endpoint}
	}
	return Table{
		ID: "wowza", Title: "Media Servers to Wowza Licensing Servers", Basis: Vendor, applies: always,
		Notes: []string{
			"This communication is required to verify valid Wowza Streaming licenses.",
			"Only required for servers utilizing an electronic Wowza key. Servers with a physical Wowza key do not need access to the licensing servers.",
		},
		Rows: []Row{
			row("wowza.license-all", "wowzalicense-all.wowzamedia.com"),
			row("wowza.license1", "wowzalicense1.wowzamedia.com"),
			row("wowza.license2", "wowzalicense2.wowzamedia.com"),
			row("wowza.license3", "wowzalicense3.wowzamedia.com"),
			row("wowza.license4", "wowzalicense4.wowzamedia.com"),
		},
	}
}

func tunnelTable() Table {
	const media, app = "On-Premise Media Server", "Cloud Application Server"
	return Table{
		ID: "tunnel", Title: "On-Premise Media Server to Cloud Application Server", Basis: Vendor, applies: inCloud,
		Notes: []string{"The on premise media server will establish a connection to the VALT AWS Private Cloud. All traffic will flow through this connection."},
		Rows: []Row{
			{"tunnel.ike", Always, UDP, 500, "", "", media, app, MediaHosts, Tunnel},
			{"tunnel.ike-nat", Always, UDP, 4500, "", "", media, app, MediaHosts, Tunnel},
			{"tunnel.gre", Always, GRE, 0, "", "", media, app, MediaHosts, Tunnel},
		},
	}
}

func certificateTable() Table {
	const media = "On Premise Media Server"
	return Table{
		ID: "certificate", Title: "Let's Encrypt", Basis: Vendor, applies: inCloud,
		Notes: []string{"VALT Cloud utilizes Let's Encrypt to provide SSL certificates."},
		Rows: []Row{
			{"certificate.acme", Always, TCP, 443, "HTTPS", "", media, "https://acme-v02.api.letsencrypt.org", MediaHosts, Endpoint},
			{"certificate.route53", Always, TCP, 443, "HTTPS", "", media, "https://route53.amazonaws.com", MediaHosts, Endpoint},
		},
	}
}

// advisoryTable holds what every site of this shape needs and the page leaves out: names
// (RFC 1035, section 4.2), time (RFC 5905, and RFC 8915 where a host's chrony asks so), the encrypted half of IPsec (RFC 4303), and
// the way to the customer's proxy.
func advisoryTable() Table {
	const all = "Application & Media Server"
	return Table{
		ID: "advisory", Title: "Not on the vendor's page", Basis: Advisory, applies: always,
		Rows: []Row{
			{"advisory.dns-udp", Always, UDP, 53, "DNS", "Names", all, "DNS servers", AllServers, DNS},
			{"advisory.dns-tcp", Always, TCP, 53, "DNS", "Names", all, "DNS servers", AllServers, DNS},
			{"advisory.ntp", Always, UDP, 123, "NTP", "Time", all, "Time servers", AllServers, NTP},
			{"advisory.nts", Always, TCP, 4460, "NTS", "Time", all, "Time servers with NTS", AllServers, NTS},
			{"advisory.esp", Always, ESP, 0, "IPsec", "Tunnel", "On-Premise Media Server", "Cloud Application Server", MediaHosts, Tunnel},
			{"advisory.proxy", Always, TCP, 0, "HTTP", "Proxy", all, "Proxy", AllServers, Proxy},
		},
	}
}
