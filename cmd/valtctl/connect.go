package main

import (
	"context"
	"os"
	"os/user"
	"path/filepath"

	"ipivs.com/valtctl/installer/facts"
	"ipivs.com/valtctl/installer/inputs"
	"ipivs.com/valtctl/installer/remote"
	"ipivs.com/valtctl/installer/site"
	"ipivs.com/valtctl/repos/problem"
)

// stateDir is where the controller keeps what it knows of a site (contracts: formats).
func (a *app) stateDir(siteID string) string {
	if dir := os.Getenv("XDG_STATE_HOME"); dir != "" {
		return filepath.Join(dir, "valtctl", siteID)
	}
	if os.Geteuid() == 0 {
		return filepath.Join("/var/lib/valtctl/site", siteID)
	}
	return filepath.Join(a.home, ".local", "state", "valtctl", siteID)
}

// knownHosts is the file of the host keys that were trusted for a site.
func (a *app) knownHosts(s *site.Site, ssh site.SSH) string {
	if ssh.KnownHosts != "" {
		return ssh.KnownHosts
	}
	return filepath.Join(a.stateDir(s.ID), "known_hosts")
}

// connection is how a host of the site file is reached from here. The person's own
// known_hosts counts too: what ssh(1) trusts has been trusted by them before.
func (a *app) connection(s *site.Site, h site.Host) remote.Options {
	env := remote.EnvironmentFrom(os.Getenv)
	env.Home = a.home
	if me, err := user.Current(); err == nil && env.User == "" {
		env.User = me.Username
	}
	o := remote.Options{
		Name: h.Name, Address: string(h.Address), Port: int(h.SSH.Port), User: h.SSH.User, Identity: h.SSH.Identity,
		KnownHosts: []string{a.knownHosts(s, h.SSH)}, Env: env, Prompt: a.prompt(),
		Waiting: func(text string) { a.note(h.Name, text) },
	}
	o.Restricted = o.Identity == facts.ScheduleKey
	if a.home != "" {
		o.KnownHosts = append(o.KnownHosts, filepath.Join(a.home, ".ssh", "known_hosts"))
	}
	for _, j := range h.SSH.Jump {
		o.Jump = append(o.Jump, j.String())
	}
	if file := h.SSH.SudoPasswordFile; file != "" {
		o.Password = func(context.Context) ([]byte, error) { return readPassword(file) }
	}
	return o
}

// readPassword reads the first line of a file.
func readPassword(file string) ([]byte, error) {
	line, err := inputs.FirstLine(file)
	if err != nil {
		return nil, &problem.Error{Kind: problem.Input, Doing: "reading the password in", Object: file, Err: err,
			Fix: "correct ssh.sudo_password_file in the site file"}
	}
	return line, nil
}
