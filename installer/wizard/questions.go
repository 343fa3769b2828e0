package wizard

import (
	"fmt"
	"slices"
	"strings"
)

// asking puts the list of questions together.
type asking struct {
	g   *Guide
	all []Question
}

// Questions are those that the answers so far lead to, in the order in which they are
// asked. What the others leave only one answer to is answered by it.
func (g *Guide) Questions() []Question {
	a := &asking{g: g}
	a.add(Question{Field: layout, Flag: "--layout", Ask: "What is it to be", Kind: Choice, Suggest: Several, Choices: []Option{
		{Single, "a single server that does everything"}, {Several, "an application server and media servers"}, {Cloud, "media servers for VALT Cloud"},
	}, Explain: `A single server is enough for up to 50 cameras. With more, media servers record and stream, and the
application server only serves the pages. With VALT Cloud the application server is the vendor's.`})
	a.identity()
	a.source()
	a.servers()
	a.people()
	a.changes()
	return a.all
}

func (a *asking) add(q Question) string {
	if !strings.HasPrefix(q.Field, "hosts[") {
		q.Server = -1
	}
	if q.Kind == "" {
		q.Kind = Line
	}
	if q.fixed != "" {
		a.g.answer[q.Field], a.g.done[q.Field] = q.fixed, true
	}
	a.all = append(a.all, q)
	return a.g.answer[q.Field]
}

func (a *asking) said(field string) string { return a.g.answer[field] }

func yesNo(yes, no string) []Option { return []Option{{"yes", yes}, {"no", no}} }

// identity asks what the site is called and how it is reached.
func (a *asking) identity() {
	a.add(Question{Field: "site", Flag: "--id", Ask: "Short name of the site", Example: "write lower-case letters, digits and hyphens, such as st-marys",
		Explain: "It names the journal and the lock, and stays for good. Lower-case letters, digits and hyphens, such as st-marys."})
	cloud := a.said(layout) == Cloud
	if cloud {
		a.add(Question{Field: "cloud.app", Flag: "--cloud", Ask: "Name of the cloud's application server", Example: "write the name that the vendor gave, such as valt.example.com",
			Explain: "The vendor gave it with the contract. The media servers reach it through a tunnel, which the vendor sets up."})
	}
	a.add(Question{Field: "name", Flag: "--name", Ask: "Name that people type", Suggest: a.said("cloud.app"), implied: a.said("cloud.app"), Example: "write a name, such as valt.example.com",
		Explain: "The name in the browser's address line. It must be in your DNS and in the certificate."})
	ssl := Question{Field: "ssl", Flag: "--ssl", Ask: "Encrypt with a certificate (SSL)", Kind: Choice, Suggest: "true",
		Choices: []Option{{"true", "yes: ports 443 and 444"}, {"false", "no: ports 80 and 1935, all in clear text"}},
		Explain: "With SSL, browsers want a certificate for the name above. Without it, video and passwords cross the network readable."}
	if cloud {
		ssl.fixed = "true" // the cloud is reached over SSL alone
	}
	if a.add(ssl) != "true" || cloud {
		return
	}
	a.add(Question{Field: "tls.certificate", Flag: "--certificate", Ask: "File of the certificate", Kind: File, Aspect: AsCertificate, Example: "write the path of a PEM or PKCS#12 file",
		Explain: "PEM with those between it and its authority, DER, or PKCS#12 (.pfx, .p12) with the key in it. A relative path starts at the site file's folder."})
	a.certificateKey()
}

// certificateKey asks for the certificate's key, which a PKCS#12 file has in it, and for what
// unlocks it where a flag or the file says that it is locked.
func (a *asking) certificateKey() {
	locked := Question{Field: "tls.password_file", Flag: "--certificate-password-file", Ask: "File with the key's passphrase", Kind: File, Aspect: AsFile, Optional: true,
		Explain: "A file that holds the password of the PKCS#12 file, or the key's passphrase. Empty: it has none, or valtctl asks for it each time."}
	if IsPKCS12(a.said("tls.certificate")) {
		a.add(locked)
		return
	}
	a.add(Question{Field: "tls.key_file", Flag: "--certificate-key", Ask: "File of the certificate's key", Kind: File, Aspect: AsKey, Example: "write the path of a PEM file",
		Explain: "PEM or DER. It is read during an installation and never copied into the site file."})
	if a.said("tls.password_file") != "" {
		a.add(locked)
	}
}

// source asks where releases come from.
func (a *asking) source() {
	source := a.add(Question{Field: "updates.source", Flag: "--source", Ask: "Where releases come from", Kind: Choice, Suggest: "online", implied: "online",
		Choices: []Option{{"online", "the vendor's servers, over the internet"}, {"bundle", "a file that somebody carries in"}},
		Explain: "Online, the servers download Ubuntu's, Docker's and VALT's packages by themselves. Without internet, valtctl bundle makes a file elsewhere."})
	if source == "bundle" {
		return
	}
	a.add(Question{Field: "registry.username", Flag: "--registry-user", Ask: "User at the vendor's image registry", Example: "write the user that the vendor gave you",
		Explain: "The vendor gave you a user and a password for docker.ipivs.com."})
	a.add(Question{Field: "registry.password_file", Flag: "--registry-password-file", Ask: "File with that user's password", Kind: File, Aspect: AsFile, Example: "write the path of a file",
		Explain: "A file that holds the password and nothing else, readable by you alone. Secrets never stand in the site file."})
}

// people asks who watches from where.
func (a *asking) people() {
	a.add(Question{Field: "clients", Flag: "--clients", Ask: "Networks that people watch from", Kind: List, Example: "write networks, such as 10.0.0.0/16",
		Explain: "Networks or single addresses, separated by commas. The firewall request names them, so no wider than people really are."})
	a.add(Question{Field: "admins", Flag: "--admins", Ask: "Networks of the administrators", Kind: List, Optional: true,
		Explain: "Where the servers are administered from, over SSH and the engine's manager. Empty: the same networks that people watch from."})
	licensed := a.add(Question{Field: beam, Flag: "--beam", Ask: "Is BEAM licensed", Kind: Choice, Suggest: "no", Choices: yesNo("yes: phones and tablets record", "no"),
		Explain: "BEAM records with mobile devices. It is a licence of its own and needs ports of its own."})
	if licensed == "yes" {
		a.add(Question{Field: "beam.devices", Flag: "--beam", Ask: "Networks of the mobile devices", Kind: List, Example: "write networks, such as 10.0.20.0/24",
			Explain: "Usually the Wi-Fi's networks, separated by commas."})
	}
}

// changes asks how and when the site may be changed.
func (a *asking) changes() {
	a.add(Question{Field: "network.proxy", Flag: "--proxy", Ask: "HTTP proxy for the internet", Optional: true,
		Explain: "As http://proxy.example.com:3128, without a login. Empty: the servers reach the internet directly, or not at all."})
	windows := a.add(Question{Field: "updates.windows", Flag: "--windows", Ask: "Weekly maintenance windows", Kind: List, Optional: true, spaced: true,
		Explain: "When the site may be changed by itself, as Sun 02:00-05:00; several with commas. Empty: only when a person does it."})
	if windows == "" && a.g.loaded["updates.timezone"] == "" {
		return
	}
	a.add(Question{Field: "updates.timezone", Flag: "--timezone", Ask: "Time zone of the windows", Suggest: a.g.around.Timezone, Optional: windows == "",
		Example: "write a name of the IANA time zone database, such as America/Chicago",
		Explain: "A name of the IANA time zone database, such as America/Chicago, so that daylight saving is right."})
}

// hostNames are those of all servers but one.
func (a *asking) hostNames(but int) []string {
	var all []string
	for i := 0; ; i++ {
		name, ok := a.g.answer[ofHost(i, "name")]
		if !ok && i > but {
			return all
		}
		if i != but {
			all = append(all, name)
		}
	}
}

// freeName is app1 or valt, or the first media name that is free.
func (a *asking) freeName(i int) string {
	switch {
	case a.said(layout) == Single:
		return "valt"
	case i == 0 && a.said(layout) == Several:
		return "app1"
	}
	taken := a.hostNames(i)
	for n := 1; ; n++ {
		if name := fmt.Sprintf("media%d", n); !slices.Contains(taken, name) {
			return name
		}
	}
}
