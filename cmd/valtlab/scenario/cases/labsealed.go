package cases

import (
	"context"
	"fmt"
	"strings"

	"ipivs.com/valtctl/cmd/valtlab/lab"
	"ipivs.com/valtctl/cmd/valtlab/vendorsim"
)

// labSealed asks every host for names and has apt itself verify every mirror.
func labSealed(ctx context.Context, e *Env) error {
	hosts, err := e.Lab.Hosts()
	if err != nil {
		return err
	}
	for _, h := range hosts {
		if err := e.Timed("names on "+h.Name, func() error { return sealedNames(ctx, e, h.Name) }); err != nil {
			return err
		}
	}
	if len(hosts) == 0 {
		return fmt.Errorf("the lab has no hosts")
	}
	return e.Timed("mirrors on "+hosts[0].Name, func() error { return mirrorsVerify(ctx, e, hosts[0].Name) })
}

// sealedNames wants the vendor's names to be the world and others not to exist.
func sealedNames(ctx context.Context, e *Env, host string) error {
	for _, name := range vendorsim.Names() {
		out, err := e.Lab.Output(ctx, host, "getent", "ahostsv4", name)
		if err != nil {
			return fmt.Errorf("looking up %s: %w", name, err)
		}
		if !strings.HasPrefix(out, e.Lab.World().String()+" ") {
			return fmt.Errorf("%s resolves to %q, not to the world", name, out)
		}
	}
	for _, name := range []string{"archive.ubuntu.com", "outside.example", "debian.org"} {
		if out, err := e.Lab.Output(ctx, host, "getent", "ahosts", name); err == nil {
			return fmt.Errorf("%s resolves to %q: the lab is not sealed", name, out)
		}
	}
	return nil
}

// mirrorsVerify lets apt read each mirror by a source list written by hand, in a root
// of its own on the host so that nothing of it stays.
func mirrorsVerify(ctx context.Context, e *Env, host string) error {
	const root = "/run/lab-sealed"
	defer func() { _, _ = e.Lab.Output(context.WithoutCancel(ctx), host, "rm", "-rf", root) }()
	if _, err := e.Lab.Output(ctx, host, "mkdir", "-p", root+"/lists/partial"); err != nil {
		return err
	}
	ca, err := readFile(e.Lab.Path("ca.crt"))
	if err != nil {
		return err
	}
	if err := e.Lab.Put(ctx, host, root+"/ca.crt", ca); err != nil {
		return err
	}
	codename, err := e.Lab.Codename(host)
	if err != nil {
		return err
	}
	for _, source := range []struct{ vendor, uri, suites, component string }{
		{lab.VendorUbuntu, "http://" + vendorsim.UbuntuArchive + "/ubuntu", codename + " " + codename + "-updates", "main"},
		{lab.VendorUbuntu, "http://" + vendorsim.UbuntuSecurity + "/ubuntu", codename + "-security", "main"},
		{lab.VendorIPIVS, "https://" + vendorsim.IPIVS + "/ubuntu", codename, "main"},
		{lab.VendorDocker, "https://" + vendorsim.Docker + "/linux/ubuntu", codename, "stable"},
	} {
		key, err := e.Lab.VendorKey(source.vendor)
		if err != nil {
			return err
		}
		if err := e.Lab.Put(ctx, host, root+"/key.asc", key); err != nil {
			return err
		}
		text := fmt.Sprintf("Types: deb\nURIs: %s\nSuites: %s\nComponents: %s\nSigned-By: %s/key.asc\n",
			source.uri, source.suites, source.component, root)
		if err := e.Lab.Put(ctx, host, root+"/one.sources", []byte(text)); err != nil {
			return err
		}
		_, err = e.Lab.Output(ctx, host, "apt-get", "update", "--error-on=any",
			"-o", "Dir::Etc::sourcelist="+root+"/one.sources", "-o", "Dir::Etc::sourceparts=/dev/null",
			"-o", "Dir::State::lists="+root+"/lists", "-o", "Acquire::https::CAInfo="+root+"/ca.crt")
		if err != nil {
			return fmt.Errorf("reading %s with apt: %w", source.uri, err)
		}
	}
	return nil
}
