package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/crypto/ssh"

	"ipivs.com/valtctl/installer/remote"
	"ipivs.com/valtctl/installer/site"
	"ipivs.com/valtctl/repos/problem"
)

func (a *app) trustCommand() *cobra.Command {
	var fingerprint string
	cmd := &cobra.Command{
		Use: "trust HOST...", Short: "Remember the SSH host keys of hosts after comparing their fingerprints", Args: cobra.MinimumNArgs(1),
		Long: "Ask hosts for their SSH host keys, show the fingerprints, and remember the keys once they are confirmed.\n\n" +
			"HOST is a host of the site file, or an address[:port] such as a jump host's. On the host itself,\n" +
			"ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub shows the fingerprint to compare with.",
		RunE: a.action([]string{"text", "json"}, func(ctx context.Context, args []string) (report, error) {
			return a.trust(ctx, args, fingerprint)
		}),
	}
	cmd.Flags().StringVar(&fingerprint, "fingerprint", "", "trust the key with this SHA-256 `fingerprint` and no other")
	cmd.Flags().BoolVarP(&a.flags.yes, "yes", "y", false, "trust what the hosts show without comparing it")
	return cmd
}

// trusted is the result of trust for one host.
type trusted struct {
	Host   string       `json:"host"`
	Addr   string       `json:"address"`
	Keys   []trustedKey `json:"keys"`
	Result string       `json:"result"` // remembered, known or refused
	File   string       `json:"file"`
}

type trustedKey struct {
	Type        string `json:"type"`
	Fingerprint string `json:"fingerprint"`
}

func (a *app) trust(ctx context.Context, names []string, fingerprint string) (report, error) {
	if fingerprint != "" && len(names) > 1 {
		return report{}, usage(errors.New("--fingerprint goes with one host"), "trust the hosts one by one")
	}
	s, err := a.loadSite()
	if err != nil {
		return report{}, err
	}
	var all []trusted
	var errs []error
	for _, name := range names {
		done, err := a.trustOne(ctx, s, name, fingerprint)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		all = append(all, done)
	}
	return text(all, func(w io.Writer) error {
		for _, t := range all {
			if _, err := fmt.Fprintf(w, "%s (%s): %s in %s\n", t.Host, t.Addr, t.Result, t.File); err != nil {
				return err
			}
		}
		return nil
	}), errors.Join(errs...)
}

func (a *app) trustOne(ctx context.Context, s *site.Site, name, fingerprint string) (trusted, error) {
	host, err := hostNamed(s, name)
	if err != nil {
		return trusted{}, err
	}
	o := a.connection(s, host)
	found, err := remote.Scan(ctx, o)
	if err != nil {
		return trusted{}, err
	}
	t := trusted{Host: name, Addr: found.Addr, File: a.knownHosts(s, host.SSH), Result: "already known"}
	if found.Known && fingerprint == "" {
		t.Keys = describeKeys(found.Keys)
		return t, nil
	}
	keys, err := a.accept(ctx, name, found, fingerprint)
	if err != nil {
		return trusted{}, err
	}
	t.Keys, t.Result = describeKeys(keys), "remembered"
	return t, remote.Remember(t.File, found.Addr, keys)
}

// hostNamed is a host of the site file, or one made of an address[:port].
func hostNamed(s *site.Site, name string) (site.Host, error) {
	if h, ok := s.Host(name); ok {
		return h, nil
	}
	h := site.Host{Name: name, SSH: s.SSH}
	h.SSH.Jump, h.SSH.Port = nil, 22
	host, port, err := net.SplitHostPort(name)
	if err != nil {
		host = name
	} else {
		number, err := strconv.ParseUint(port, 10, 16)
		if err != nil || number == 0 {
			return site.Host{}, usage(fmt.Errorf("%q has no port from 1 to 65535", name), "write a host of the site file, or address:port")
		}
		h.SSH.Port = uint16(number)
	}
	if host == "" || strings.ContainsAny(host, "/@: \t") {
		return site.Host{}, usage(fmt.Errorf("%q is neither a host of %s nor an address", name, s.File()), "write a host of the site file, or address:port")
	}
	h.Address = site.Address(host)
	return h, nil
}

// accept picks the keys to remember: the one with the fingerprint, or all of them once
// the person has said yes.
func (a *app) accept(ctx context.Context, name string, found remote.Scanned, fingerprint string) ([]ssh.PublicKey, error) {
	if fingerprint != "" {
		return withFingerprint(name, found.Keys, fingerprint)
	}
	fmt.Fprintf(a.err, "%s (%s) shows:\n", name, found.Addr)
	for _, k := range describeKeys(found.Keys) {
		fmt.Fprintf(a.err, "  %-20s %s\n", k.Type, k.Fingerprint)
	}
	if a.flags.yes {
		return found.Keys, nil
	}
	refused := &problem.Error{Kind: problem.Trust, Doing: "trusting", Object: name}
	tty := a.terminal()
	if tty == nil {
		refused.Err = errors.New("there is no terminal to ask at")
		refused.Fix = "compare the fingerprint with the host's own and give it with --fingerprint; --yes trusts without comparing"
		return nil, refused
	}
	yes, err := a.confirm(ctx, tty, "Is one of these the host's own fingerprint?")
	if err != nil {
		return nil, fmt.Errorf("trusting %s: %w", name, err)
	}
	if !yes {
		refused.Err = errors.New("the fingerprint was not confirmed")
		refused.Fix = "find out who answers at this address"
		return nil, refused
	}
	return found.Keys, nil
}

func withFingerprint(name string, keys []ssh.PublicKey, want string) ([]ssh.PublicKey, error) {
	want = "SHA256:" + strings.TrimRight(strings.TrimPrefix(want, "SHA256:"), "=")
	var shown []string
	for _, k := range keys {
		if ssh.FingerprintSHA256(k) == want {
			return []ssh.PublicKey{k}, nil
		}
		shown = append(shown, k.Type()+" "+ssh.FingerprintSHA256(k))
	}
	return nil, &problem.Error{Kind: problem.Trust, Doing: "trusting", Object: name,
		Err: fmt.Errorf("it shows %s, not %s", strings.Join(shown, ", "), want), Fix: "do not go on: find out who answers at this address"}
}

func describeKeys(keys []ssh.PublicKey) []trustedKey {
	var all []trustedKey
	for _, k := range keys {
		all = append(all, trustedKey{Type: k.Type(), Fingerprint: ssh.FingerprintSHA256(k)})
	}
	return all
}
