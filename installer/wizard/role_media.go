package wizard

import "ipivs.com/valtctl/installer/site"

// mediaGuide asks for the recordings' disk, the licence and the cameras.
func mediaGuide() roleGuide {
	return roleGuide{role: site.Media, ask: askMedia,
		fields: []string{"recordings", "wowza.license", "wowza.key_file", "cameras"},
		does:   func(h site.Host) string { return serverName(site.Media) + ", recordings on " + dashed(h.Recordings) }}
}

// askMedia asks what only a media server has.
func askMedia(a *asking, i int) {
	name := a.said(ofHost(i, "name"))
	a.add(server(i, "recordings", "recordings", Question{Ask: "Disk for recordings on " + name, Aspect: AsDisk, Suggest: "/srv/valt", Example: "write a folder such as /srv/valt",
		Explain: "The folder where a disk of its own is mounted. Without that disk the engine does not start, so that recordings never fill up the system."}))
	license := a.add(server(i, "wowza.license", "license", Question{Ask: "Licence of its streaming engine", Kind: Choice, Suggest: "electronic", implied: "electronic",
		Choices: []Option{{"electronic", "a key that licence servers confirm over the internet"}, {"physical", "a USB dongle"}},
		Explain: "Each media server has a licence of its own. An electronic one needs the five licence servers, also on a site without internet otherwise."}))
	if license == "electronic" {
		a.add(server(i, "wowza.key_file", "key-file", Question{Ask: "File with the licence key of " + name, Kind: File, Aspect: AsLicence, Suggest: "keys/" + name, Example: "write the path of a file",
			Explain: "A file that holds the key, one line, and nothing else. A relative path starts at the site file's folder."}))
	}
	a.add(server(i, "cameras", "cameras", Question{Ask: "Cameras of " + name, Kind: List, Optional: true,
		Explain: "Paste addresses, one a line or with commas, and ranges such as 10.0.9.20-10.0.9.39. Each is asked from this server. Empty: none yet."}))
}
