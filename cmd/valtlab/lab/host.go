package lab

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"slices"

	"ipivs.com/valtctl/cmd/valtlab/ubuntu"
)

// Roles of a host, as in the site file.
const (
	RoleApp   = "app"
	RoleMedia = "media"
)

// Host is one bare server of the lab, as it is asked for. The zero value of every
// field but Name and Address is an ordinary server.
type Host struct {
	Name    string     `json:"name"`
	Address netip.Addr `json:"address"`
	Roles   []string   `json:"roles,omitempty"`
	// SSHD is "openssh" (default) or "dropbear", which has no sftp-server.
	SSHD string `json:"sshd,omitempty"`
	Port int    `json:"port,omitempty"` // of sshd; 0: 22
	User string `json:"user,omitempty"` // who logs in; empty: valt
	// Sudo is what the user may do: "nopasswd" (default), "password" (the one in the
	// state folder's sudo_password) or "none".
	Sudo string `json:"sudo,omitempty"`
	// Hardened refuses TCP forwarding, allows one session a connection, runs sudo on a
	// pseudo-terminal and takes keyboard-interactive logins beside keys.
	Hardened bool `json:"hardened,omitempty"`
	// Noexec mounts /tmp, /home and /dev/shm so that nothing runs from there.
	Noexec bool `json:"noexec,omitempty"`
	// NoisyShell makes every login shell print to both of its outputs.
	NoisyShell bool `json:"noisy_shell,omitempty"`
	// Ubuntu is the release that it bears, as VERSION_ID; empty: what the lab's hosts of its roles bear. Suite is
	// the Debian suite of its parts, where several stand for the release; the lab says which.
	Ubuntu string `json:"ubuntu,omitempty"`
	Suite  string `json:"suite,omitempty"`
	// ImageStore is where its Docker engine keeps images: "graphdriver", as engines that were upgraded have them, or
	// "containerd", as those that Docker 29 installs; empty: as the lab's hosts of its Ubuntu.
	ImageStore string `json:"image_store,omitempty"`
	// Behind names the host that is the only way in: this one is on a network of its own.
	Behind string `json:"behind,omitempty"`
}

// Names of the sshd's a host may have and of what sudo may ask.
const (
	OpenSSH      = "openssh"
	Dropbear     = "dropbear"
	SudoNopasswd = "nopasswd"
	SudoPassword = "password"
	SudoNone     = "none"
	GraphDriver  = "graphdriver"
	Containerd   = "containerd"
)

// DefaultUser is who logs in on a host.
const DefaultUser = "valt"

// withDefaults fills the empty fields but for Ubuntu, Suite and ImageStore, which are the lab's to say.
func (h Host) withDefaults() Host {
	if h.SSHD == "" {
		h.SSHD = OpenSSH
	}
	if h.Port == 0 {
		h.Port = 22
	}
	if h.User == "" {
		h.User = DefaultUser
	}
	if h.Sudo == "" {
		h.Sudo = SudoNopasswd
	}
	return h
}

// release is the Ubuntu that it bears. What was validated is there.
func (h Host) release() ubuntu.Release {
	r, err := ubuntu.Find(cmp.Or(h.Ubuntu, ubuntu.Default), h.Suite)
	if err != nil {
		panic(fmt.Sprintf("host %s: %v", h.Name, err))
	}
	return r
}

// Standard tells the hosts of the lab's own site file from those that were added.
func (h Host) Standard() bool { return isStandard(h.Name) }

// HasRole tells whether the host is to have the role.
func (h Host) HasRole(role string) bool { return slices.Contains(h.Roles, role) }

// validate checks what was asked for, all of it at once.
func (h Host) validate() error {
	var errs []error
	if !regexp.MustCompile(`^[a-z][a-z0-9-]{0,30}$`).MatchString(h.Name) {
		errs = append(errs, fmt.Errorf("host name %q: use a letter, then letters, digits and hyphens", h.Name))
	}
	if h.Name == worldName || h.Name == clientName {
		errs = append(errs, fmt.Errorf("host name %q is the lab's own", h.Name))
	}
	for _, role := range h.Roles {
		if role != RoleApp && role != RoleMedia {
			errs = append(errs, fmt.Errorf("role %q of %s: use app or media", role, h.Name))
		}
	}
	if !slices.Contains([]string{OpenSSH, Dropbear}, h.SSHD) {
		errs = append(errs, fmt.Errorf("sshd %q of %s: use openssh or dropbear", h.SSHD, h.Name))
	}
	if !slices.Contains([]string{SudoNopasswd, SudoPassword, SudoNone}, h.Sudo) {
		errs = append(errs, fmt.Errorf("sudo %q of %s: use none, password or nopasswd", h.Sudo, h.Name))
	}
	if !slices.Contains([]string{GraphDriver, Containerd}, h.ImageStore) {
		errs = append(errs, fmt.Errorf("image store %q of %s: use graphdriver or containerd", h.ImageStore, h.Name))
	}
	if _, err := ubuntu.Find(h.Ubuntu, h.Suite); err != nil {
		errs = append(errs, fmt.Errorf("%s: %w", h.Name, err))
	}
	if h.Port < 1 || h.Port > 65535 {
		errs = append(errs, fmt.Errorf("port %d of %s: use 1 to 65535", h.Port, h.Name))
	}
	if h.SSHD == Dropbear && h.Hardened {
		errs = append(errs, fmt.Errorf("%s: what --hardened sets is openssh's, which --sshd dropbear replaces", h.Name))
	}
	return errors.Join(errs...)
}
