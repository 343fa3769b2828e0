package wizard

import (
	"fmt"
	"slices"

	"ipivs.com/valtctl/installer/site"
)

// servers asks about each server in turn.
func (a *asking) servers() {
	if a.said(layout) == "" {
		return
	}
	for i := 0; ; i++ {
		a.where(i)
		roles := a.role(i)
		if roles == "" {
			return // what follows depends on it
		}
		for _, g := range roleGuides() {
			if hasRole(roles, g.role) && g.ask != nil {
				g.ask(a, i)
			}
		}
		if a.said(layout) == Single || a.oneMore(i) != "yes" {
			return
		}
	}
}

// server is a question about the i-th one, answered within its --server.
func server(i int, key, flag string, q Question) Question {
	q.Field, q.Server = ofHost(i, key), i
	q.Flag = "--server … " + flag + "="
	if flag == "" {
		q.Flag = "--server"
	}
	return q
}

// where asks what the server is called and how it is reached.
func (a *asking) where(i int) {
	name := a.add(server(i, "name", "", Question{Ask: fmt.Sprintf("Name of server %d", i+1), Suggest: a.freeName(i), Example: "write a short name, such as media1",
		Explain: "A short name of your own, for plans and reports. The server's hostname may be another."}))
	address := ""
	if i == 0 && a.said(layout) == Single && a.g.around.Root && len(a.g.around.Addresses) > 0 {
		address = a.g.around.Addresses[0]
	}
	a.add(server(i, "address", "address", Question{Ask: "Address of " + name, Suggest: address, Example: "write an IPv4 address or a name, such as 10.0.4.10",
		Explain: "As clients and the other servers reach it. The vendor's network requirements are for IPv4."}))
	if i == 0 && !a.g.Local(0) {
		a.login()
	}
	a.add(server(i, Look, "fingerprint", Question{Ask: "Look at " + name, Aspect: AsHost, Optional: true,
		Explain: "Whether it answers, by which SSH host key, and what it has."}))
}

// Local says that a server is this machine, which needs no SSH.
func (g *Guide) Local(i int) bool {
	return g.around.Root && slices.Contains(g.around.Addresses, g.answer[ofHost(i, "address")])
}

// login asks how SSH gets in.
func (a *asking) login() {
	a.add(Question{Field: "ssh.user", Flag: "--ssh-user", Ask: "SSH user on the servers", Optional: true,
		Explain: "A user that may sudo, the same on every server; one that differs goes into the file by hand. Empty: yours, or what ~/.ssh/config says."})
	a.add(Question{Field: "ssh.identity", Flag: "--ssh-identity", Ask: "File of the SSH private key", Kind: File, Aspect: AsFile, Optional: true,
		Explain: "Empty: the keys of your SSH agent and the usual files in ~/.ssh."})
	a.add(Question{Field: "ssh.jump", Flag: "--ssh-jump", Ask: "Jump hosts on the way", Kind: List, Optional: true,
		Explain: "As user@host:port, the first one first, where the servers cannot be reached directly. Empty: none."})
	a.add(Question{Field: "ssh.sudo_password_file", Flag: "--sudo-password-file", Ask: "File with the sudo password", Kind: File, Aspect: AsFile, Optional: true,
		Explain: "Where sudo asks for a password. Empty: it does not, or you type it when it is asked for."})
}

// role asks what the server does, where the others leave a choice.
func (a *asking) role(i int) string {
	open := a.open(i)
	q := server(i, "roles", "roles", Question{Ask: "What it does", Kind: Choice, isList: true, Suggest: string(open[0]), Choices: roleChoices(open),
		Explain: "A site has one application server. It may be a media server as well, for up to 50 cameras."})
	switch {
	case a.said(layout) == Single:
		q.fixed = roleAnswer(singleRoles())
	case len(open) == 1:
		q.fixed = string(open[0])
	}
	return a.add(q)
}

// anotherIs says that another server has the role.
func (a *asking) anotherIs(role site.Role, but int) bool {
	for i := 0; ; i++ {
		roles, ok := a.g.answer[ofHost(i, "roles")]
		switch {
		case i != but && hasRole(roles, role) && a.counts(i):
			return true
		case !ok && i > but:
			return false
		}
	}
}

// counts says that a server is part of the answers: one behind a "no more" is not.
func (a *asking) counts(i int) bool {
	for n := range i {
		if a.said(ofHost(n, more)) != "yes" {
			return false
		}
	}
	return true
}

// oneMore asks for another server; a site without an application or media server needs one.
func (a *asking) oneMore(i int) string {
	q := server(i, more, "", Question{Ask: "Another server", Kind: Choice, Suggest: "no", Choices: yesNo("yes, a media server", "no, that is all"),
		Explain: "A media server can be added at any later time: valtctl init, then valtctl install."})
	if a.lacksRole() || a.g.loaded[q.Field] == "yes" { // one of the file's goes by hand alone
		q.fixed = "yes"
	}
	return a.add(q)
}
