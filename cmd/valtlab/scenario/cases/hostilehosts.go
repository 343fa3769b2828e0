package cases

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strings"
)

// hosts has a server say hostile words wherever it is asked: its Ubuntu's name, its logs, its login shell, its
// devices; and somebody give a reason that is kept in the servers' journals.
func (h *hostile) hosts(ctx context.Context) (err error) {
	defer func() {
		_, put := h.Lab.Output(context.WithoutCancel(ctx), "app1", "sh", "-c", "rm -f /etc/profile.d/hostile.sh; [ ! -e /run/os-release.kept ] || mv /run/os-release.kept /etc/os-release; sed -i '/hostile-noise/d' /home/valt/.bashrc")
		err = errors.Join(err, put)
	}()
	if err := h.pipe(ctx, "app1", hostileWord+"\n", "sh", "-c", `cat >/run/hostile
cp /etc/os-release /run/os-release.kept
{ grep -v PRETTY_NAME /run/os-release.kept; printf 'PRETTY_NAME="'; tr -d '\n' </run/hostile; printf '"\n'; } >/etc/os-release
touch /home/valt/.bashrc
sed -i '1i cat /run/hostile; cat /run/hostile >\&2 # hostile-noise' /home/valt/.bashrc
chmod 644 /run/hostile /home/valt/.bashrc`); err != nil {
		return err
	}
	if err := h.pipe(ctx, "app1", hostileWord+"\n", "docker", "exec", "-i", "valt-web", "tee", "/proc/1/fd/2"); err != nil {
		return err
	}
	for _, run := range []struct {
		shown bool
		args  []string
	}{
		{false, []string{"facts", "--host", "app1"}},
		{false, []string{"facts", "--host", "app1", "-o", "json"}},
		{true, []string{"logs", "web", "-n", "1000", "--host", "app1"}},
		{false, []string{"check", "hosts", "--all", "--host", "app1"}},
		{false, []string{"check", "hosts", "--host", "app1", "-o", "html"}},
		{true, []string{"lock", "break", "--yes", "--reason", hostileWord}},
		{false, []string{"history"}},
		{false, []string{"status"}},
	} {
		if _, err := h.output(ctx, run.shown, run.args...); err != nil {
			return err
		}
	}
	return h.journalsArePlain(ctx)
}

// journalsArePlain looks at what valtctl wrote to the servers' logs and journals, byte by byte.
func (h *hostile) journalsArePlain(ctx context.Context) error {
	for _, what := range [][]string{
		{"sh", "-c", "journalctl --sync; journalctl --no-pager --all --output cat -t valtctl --since -1h"},
		{"sh", "-c", "find /var/lib/valtctl -name '*.jsonl' -exec cat {} + ; find /var/lib/valtctl -maxdepth 3 -name 'lease*.json' -exec cat {} +"},
	} {
		text, err := h.Lab.Output(ctx, "app1", what...)
		if err != nil {
			return err
		}
		if err := obeyed(text); err != nil {
			return fmt.Errorf("what app1 keeps: %w", err)
		}
	}
	return nil
}

// files has a customer's files hold hostile words: names of cameras, which go to a table and two pages, and a certificate.
func (h *hostile) files(ctx context.Context) error {
	const formula = `=HYPERLINK("http://evil.example","lobby")`
	file, err := h.site("named", func(site map[string]any) error {
		cameras := []any{}
		for n, name := range []string{formula, "@SUM(1)", "<script>alert(1)</script>"} {
			cameras = append(cameras, map[string]any{"name": name, "address": h.Lab.Address(180 + n).String()})
		}
		withHost(site, "media1", map[string]any{"cameras": cameras})
		return nil
	})
	if err != nil {
		return err
	}
	for _, args := range [][]string{{"network", "-o", "csv"}, {"network", "--request", "-o", "csv"}} {
		out, err := h.output(ctx, false, append(args, "--site", file)...)
		if err == nil {
			err = csvIsPlain(out)
		}
		if err != nil {
			return err
		}
	}
	for _, args := range [][]string{{"network", "-o", "html"}, {"network", "--request", "-o", "html"}, {"network"}, {"site", "show"}} {
		out, err := h.output(ctx, false, append(args, "--site", file)...)
		if err == nil && strings.Contains(out, "<script>alert") && strings.Contains(out, "<html") {
			err = fmt.Errorf("the page of %q has the names' markup", args)
		}
		if err != nil {
			return err
		}
	}
	if file, err = h.site("worded", func(site map[string]any) error {
		site["name"] = hostileWord
		withHost(site, "media1", map[string]any{"recordings": "/srv/" + hostileWord})
		return nil
	}); err != nil {
		return err
	}
	_, err = h.output(ctx, true, "site", "validate", "--site", file)
	return err
}

// floods has the servers answer without the end of a line, for as much as is taken.
func (h *hostile) floods(ctx context.Context) error {
	file, err := h.site("floods", func(site map[string]any) error {
		at := map[string]netip.AddrPort{}
		return h.servers(site, func(name, begin string) (err error) {
			at[name], err = h.impostor("flooding "+name, nil, flooding(begin, tooMuch))
			return err
		}, at)
	})
	if err == nil {
		_, err = h.output(ctx, false, "check", "network", "--all", "--site", file, "--host", "media1")
	}
	if err != nil {
		return err
	}
	if unmet := h.unmet("flooding registry", "flooding licence", "flooding archive", "flooding camera"); len(unmet) > 0 {
		return fmt.Errorf("nobody asked %v", unmet)
	}
	for _, begin := range []string{"HTTP/1.1 200 ", "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n", "HTTP/1.1 404 Not Found\r\nConnection: close\r\n\r\n"} {
		if file, err = h.site("flooded-releases", func(site map[string]any) error {
			at, err := h.impostor("flooding releases", nil, flooding(begin, tooMuch))
			releaseFrom(site, at)
			return err
		}); err != nil {
			return err
		}
		if _, err := h.output(ctx, false, "update", "--dry-run", "--site", file); err != nil {
			return err
		}
	}
	if unmet := h.unmet("flooding releases"); len(unmet) > 0 {
		return fmt.Errorf("nobody asked %v", unmet)
	}
	return nil
}

// floodedHosts has a login shell, a log and a customer's file hold a line of 100 MB.
func (h *hostile) floodedHosts(ctx context.Context) (err error) {
	defer func() {
		_, put := h.Lab.Output(context.WithoutCancel(ctx), "app1", "sed", "-i", "/hostile-noise/d", "/home/valt/.bashrc")
		err = errors.Join(err, put, os.RemoveAll(h.Lab.Path("hostile-support.tar.gz")))
	}()
	endless := fmt.Sprintf("head -c %d /dev/zero | tr '\\0' A", tooMuch)
	if _, err := h.Lab.Output(ctx, "app1", "sh", "-c", endless+" | docker exec -i valt-web tee /proc/1/fd/2 >/dev/null"); err != nil {
		return err
	}
	if _, err := h.output(ctx, false, "logs", "web", "-n", "1000", "--host", "app1"); err != nil {
		return err
	}
	if _, err := h.output(ctx, false, "support-bundle", "--host", "app1", "-o", "hostile-support.tar.gz"); err != nil {
		return err
	}
	if err := h.pipe(ctx, "app1", "", "sed", "-i", "1i "+endless+" # hostile-noise", "/home/valt/.bashrc"); err != nil {
		return err
	}
	if _, err := h.output(ctx, false, "facts", "--host", "app1"); err != nil {
		return err
	}
	return h.floodedFiles(ctx)
}

// floodedFiles has each file that a site file names, and that itself, be one line of 100 MB.
func (h *hostile) floodedFiles(ctx context.Context) error {
	const big = "hostile-big"
	text := strings.Repeat("A", tooMuch)
	if err := os.WriteFile(h.Lab.Path(big), []byte(text), 0o600); err != nil {
		return fmt.Errorf("writing a long line: %w", err)
	}
	defer os.Remove(h.Lab.Path(big))
	for name, change := range map[string]func(site map[string]any){
		"certificate": func(site map[string]any) { site["tls"] = map[string]any{"certificate": big, "key_file": "site.key"} },
		"password": func(site map[string]any) {
			site["registry"] = map[string]any{"username": "practice", "password_file": big}
		},
		"authority": func(site map[string]any) { withNetwork(site, map[string]any{"trust": []any{big}}) },
		"licence": func(site map[string]any) {
			withHost(site, "media1", map[string]any{"wowza": map[string]any{"license": "electronic", "key_file": big}})
		},
	} {
		file, err := h.site("big-"+name, func(site map[string]any) error { change(site); return nil })
		if err != nil {
			return err
		}
		if _, err := h.output(ctx, false, "install", "--dry-run", "--site", file); err != nil {
			return err
		}
	}
	_, err := h.output(ctx, false, "site", "validate", "--site", big)
	return err
}
