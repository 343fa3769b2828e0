package network

import (
	"slices"
	"strings"
)

// Lifetime says how long a firewall must let a flow through.
type Lifetime string

// The lifetimes, in plain words for those who are asked.
const (
	Permanent   Lifetime = "permanent"
	Attended    Lifetime = "while someone administers"
	Maintenance Lifetime = "during installation and updates"
)

// Explanation is what an IT department wants to know of a row before it opens a port.
type Explanation struct {
	Purpose  string   `json:"purpose"`
	Lifetime Lifetime `json:"lifetime"`
	// Unclear is where the vendor's page can be read in two ways, and what to make of
	// it. Empty: the page is clear.
	Unclear string `json:"unclear,omitempty"`
}

// Where several rows share one doubt.
const (
	streamOn444  = "The page calls port 444 WSS in the clients' table, RTMP in BEAM's and HTTPS between servers. All are taken for TLS; allow TCP without a check of the protocol inside."
	streamOn1935 = "The page calls port 1935 WS in the clients' table, RTMP in BEAM's and HTTP between servers. Allow TCP without a check of the protocol inside."
	eitherProto  = "The page says HTTP/HTTPS without saying when which. Allow TCP without a check of the protocol inside."
	noEngine     = "The page lists the application server here, but the streaming engine that answers on this port runs on media servers. Without an engine there, nothing may listen."
	redirects    = "The page names this host alone. If downloads are redirected to another name, that one is needed too."
)

// Explain is the explanation of a row by its id. Whether a row has one is a test.
func Explain(row string) (Explanation, bool) {
	table, _, _ := strings.Cut(row, ".")
	e, ok := explanations(table)[row]
	return e, ok
}

func explanations(table string) map[string]Explanation {
	switch table {
	case "client", "admin":
		return explainClients()
	case "camera":
		return explainCameras()
	case "beam":
		return explainBeam()
	case "updates":
		return explainUpdates()
	case "app-to-media", "media-to-app":
		return explainServers()
	case "wowza":
		return explainLicences()
	case "tunnel", "certificate":
		return explainCloud()
	case ObservedTable:
		return explainObserved()
	}
	return explainAdvisory()
}

func explainClients() map[string]Explanation {
	return map[string]Explanation{
		"client.http":      {Purpose: "People open VALT's web pages.", Lifetime: Permanent},
		"client.https":     {Purpose: "People open VALT's web pages, encrypted.", Lifetime: Permanent},
		"client.ws":        {Purpose: "Live and recorded video reaches people's browsers.", Lifetime: Permanent, Unclear: streamOn1935},
		"client.wss":       {Purpose: "Live and recorded video reaches people's browsers, encrypted.", Lifetime: Permanent, Unclear: streamOn444},
		"client.downloads": {Purpose: "People download recordings and clips.", Lifetime: Permanent, Unclear: "The page writes HTTP/HTTPS* and explains the asterisk nowhere. Allow TCP without a check of the protocol inside."},
		"admin.ssh":        {Purpose: "Administrators log in to the servers to install and maintain them.", Lifetime: Attended},
		"admin.wowza":      {Purpose: "Administrators open the streaming engine's own pages.", Lifetime: Attended, Unclear: noEngine},
	}
}

func explainCameras() map[string]Explanation {
	return map[string]Explanation{
		"camera.http": {Purpose: "The media server sets up and steers its cameras.", Lifetime: Permanent},
		"camera.rtsp": {Purpose: "The media server fetches its cameras' video.", Lifetime: Permanent,
			Unclear: "The page lists the control connection alone. Where a camera sends its video as RTP over UDP, the ports are agreed on for each stream, and a firewall between the two must follow RTSP or allow UDP from the camera."},
	}
}

func explainBeam() map[string]Explanation {
	return map[string]Explanation{
		"beam.http":  {Purpose: "BEAM's mobile devices sign in and upload recordings.", Lifetime: Permanent},
		"beam.https": {Purpose: "BEAM's mobile devices sign in and upload recordings, encrypted.", Lifetime: Permanent},
		"beam.rtmp":  {Purpose: "BEAM's mobile devices send live video.", Lifetime: Permanent, Unclear: streamOn1935},
		"beam.rtmps": {Purpose: "BEAM's mobile devices send live video, encrypted.", Lifetime: Permanent, Unclear: streamOn444},
	}
}

func explainUpdates() map[string]Explanation {
	return map[string]Explanation{
		"updates.ubuntu-archive":    {Purpose: "Servers download Ubuntu's packages, which are signed.", Lifetime: Maintenance},
		"updates.ubuntu-security":   {Purpose: "Servers download Ubuntu's security updates, which are signed.", Lifetime: Maintenance},
		"updates.ivs-apt":           {Purpose: "Servers download VALT's packages and signed releases.", Lifetime: Maintenance},
		"updates.ubuntu-changelogs": {Purpose: "Servers learn of new Ubuntu releases and read what changed.", Lifetime: Maintenance, Unclear: "The page lists it among the sources of packages; none comes from there."},
		"updates.docker-apt":        {Purpose: "Servers download the Docker engine.", Lifetime: Maintenance},
		"updates.docker-registry":   {Purpose: "Servers download VALT's container images.", Lifetime: Maintenance, Unclear: redirects},
	}
}

func explainServers() map[string]Explanation {
	return map[string]Explanation{
		"app-to-media.ssh":       {Purpose: "The application server maintains the media servers.", Lifetime: Permanent},
		"app-to-media.https":     {Purpose: "The application server reaches the video streams, encrypted.", Lifetime: Permanent, Unclear: streamOn444},
		"app-to-media.http":      {Purpose: "The application server reaches the video streams.", Lifetime: Permanent, Unclear: streamOn1935},
		"app-to-media.webserver": {Purpose: "The application server fetches recordings and clips.", Lifetime: Permanent, Unclear: eitherProto},
		"app-to-media.control":   {Purpose: "The application server starts and stops recordings.", Lifetime: Permanent, Unclear: eitherProto},
		"app-to-media.rest":      {Purpose: "The application server sets up the streaming engine.", Lifetime: Permanent},
		"media-to-app.ssh":       {Purpose: "Media servers reach the application server's operating system.", Lifetime: Permanent, Unclear: "The page does not say what for."},
		"media-to-app.http":      {Purpose: "Media servers report to the application server.", Lifetime: Permanent},
		"media-to-app.https":     {Purpose: "Media servers report to the application server, encrypted.", Lifetime: Permanent},
		"media-to-app.control":   {Purpose: "Media servers reach a streaming engine on the application server.", Lifetime: Permanent, Unclear: eitherProto + " " + noEngine},
		"media-to-app.rest":      {Purpose: "Media servers reach a streaming engine's settings on the application server.", Lifetime: Permanent, Unclear: noEngine},
	}
}

func explainLicences() map[string]Explanation {
	all := map[string]Explanation{}
	for _, name := range []string{"-all", "1", "2", "3", "4"} {
		all["wowza.license"+name] = Explanation{Purpose: "The streaming engine has its licence confirmed. It asks directly, not through a proxy.", Lifetime: Permanent}
	}
	return all
}

func explainCloud() map[string]Explanation {
	return map[string]Explanation{
		"tunnel.ike":          {Purpose: "The media server negotiates the encrypted tunnel to VALT Cloud (IKE).", Lifetime: Permanent, Unclear: "The page gives the port alone, without a service; 500 is IKE's."},
		"tunnel.ike-nat":      {Purpose: "The encrypted tunnel to VALT Cloud, behind address translation (IPsec NAT traversal).", Lifetime: Permanent, Unclear: "The page gives the port alone, without a service; 4500 is that of IPsec behind address translation."},
		"tunnel.gre":          {Purpose: "VALT's traffic inside the tunnel to VALT Cloud.", Lifetime: Permanent, Unclear: "The page asks for GRE and does not say whether it travels inside IPsec. Allow IP protocol 47; it has no ports."},
		"certificate.acme":    {Purpose: "The media server requests and renews its certificate at Let's Encrypt.", Lifetime: Permanent},
		"certificate.route53": {Purpose: "The media server proves to Let's Encrypt that its name is its own (DNS at Amazon).", Lifetime: Permanent},
	}
}

func explainAdvisory() map[string]Explanation {
	return map[string]Explanation{
		"advisory.dns-udp": {Purpose: "Servers look up names.", Lifetime: Permanent, Unclear: "The page says that valid DNS servers are required, and lists no port."},
		"advisory.dns-tcp": {Purpose: "Servers look up names whose answers are long.", Lifetime: Permanent, Unclear: "The page says that valid DNS servers are required, and lists no port."},
		"advisory.ntp":     {Purpose: "Servers keep their clocks right; certificates and recordings depend on it.", Lifetime: Permanent, Unclear: "The page does not mention time."},
		"advisory.nts":     {Purpose: "Servers whose chrony asks so get the keys by which they know their time servers (NTS).", Lifetime: Permanent, Unclear: "The page does not mention time; Ubuntu 26.04 asks its time servers so by default."},
		"advisory.esp":     {Purpose: "The encrypted half of the tunnel to VALT Cloud (IPsec) where no address is translated.", Lifetime: Permanent, Unclear: "The page does not mention IP protocol 50. Behind address translation UDP 4500 carries it."},
		"advisory.proxy":   {Purpose: "Servers download through your proxy.", Lifetime: Maintenance},
	}
}

// explain puts the explanations of a flow's rows together. The longest lifetime counts.
func (f Flow) explain() Explanation {
	var all Explanation
	var purposes, doubts []string
	for _, row := range f.Rows {
		e, _ := Explain(row)
		if !slices.Contains(purposes, e.Purpose) {
			purposes = append(purposes, e.Purpose)
		}
		if e.Unclear != "" && !slices.Contains(doubts, e.Unclear) {
			doubts = append(doubts, e.Unclear)
		}
		all.Lifetime = longer(all.Lifetime, e.Lifetime)
	}
	all.Purpose, all.Unclear = strings.Join(purposes, " "), strings.Join(doubts, " ")
	return all
}

// longer is the lifetime that covers both.
func longer(a, b Lifetime) Lifetime {
	order := []Lifetime{"", Maintenance, Attended, Permanent}
	return order[max(slices.Index(order, a), slices.Index(order, b))]
}
