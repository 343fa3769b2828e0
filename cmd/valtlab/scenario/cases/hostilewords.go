package cases

import (
	"bytes"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"ipivs.com/valtctl/cmd/valtlab/releases"
	"ipivs.com/valtctl/cmd/valtlab/vendorsim"
)

// hostileMark begins every hostile word, so that it is known that it was shown at all.
const hostileMark = "WORD"

// hostileWord is what servers, files and devices say instead of a name or an error: sequences that a
// terminal obeys, marks of direction, characters that are not seen, markup.
const hostileWord = hostileMark + "\x1b]0;root@app1\a\x1b]52;c;cm0gLXJm\a\x1b[2J\x1b[1;1Hall well\u009b2J\u202Exe.lnk\u2066\u200Ba\u2028b\U000E0041<script>alert(1)</script>"

// tooMuch is as much as a peer sends without a line's end, and mostMemory what valtctl may take of it, in bytes.
const (
	tooMuch    = 100 << 20
	mostMemory = 100 << 20
)

// hostileWords has everything outside say what would act on whatever shows it, and as much as it can without
// the end of a line. Neither passes, and valtctl's memory stays small.
func hostileWords(ctx context.Context, e *Env) error {
	if err := e.at(ctx, releases.Stable); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	h := &hostile{Env: e, impostors: e.newImpostors(ctx)}
	for _, part := range []show{
		{"servers' words", h.words}, {"hosts' words", h.hosts}, {"customers' files", h.files}, {"mails", h.mails}, {"servers without a line's end", h.floods},
		{"hosts and files without a line's end", h.floodedHosts},
	} {
		if err := e.Timed(part.name, func() error { return part.run(ctx) }); err != nil {
			return err
		}
	}
	e.Measure("valtctl's memory", "%d MB at most, in %d runs", h.most>>20, h.runs)
	return nil
}

// hostile is the scenario's state.
type hostile struct {
	*Env
	*impostors
	most int // bytes of memory that a run took
	runs int
}

// output is what a run says, with its memory looked at; want says whether the hostile word is to be seen there.
func (h *hostile) output(ctx context.Context, want bool, args ...string) (string, error) {
	command := h.Command(ctx, args...)
	var out, said bytes.Buffer
	command.Stdout, command.Stderr = &out, &said
	if err := command.Start(); err != nil {
		return "", fmt.Errorf("running valtctl: %w", err)
	}
	done := make(chan error, 1)
	go func() { done <- command.Wait() }()
	took, err := peak(command.Process.Pid, done)
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		return "", fmt.Errorf("running valtctl %q: %w", args, err)
	}
	h.runs, h.most = h.runs+1, max(h.most, took)
	if took > mostMemory {
		return "", fmt.Errorf("valtctl %q took %d MB", args, took>>20)
	}
	text := out.String() + said.String()
	if err := obeyed(text); err != nil {
		return "", fmt.Errorf("valtctl %q: %w", args, err)
	}
	if want && !strings.Contains(text, hostileMark) {
		return "", fmt.Errorf("valtctl %q shows nothing of it: %.2000s", args, text)
	}
	return out.String(), nil
}

// peak is the most memory that a process had until it ended, in bytes, as the kernel tells (VmHWM of
// proc_pid_status(5)). What Wait tells would be this process's own at the fork, where that was more.
func peak(pid int, done <-chan error) (most int, err error) {
	for {
		select {
		case err := <-done:
			return most, err
		case <-time.After(10 * time.Millisecond):
			most = max(most, highWater(pid))
		}
	}
}

func highWater(pid int) int {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
	if err != nil {
		return 0 // it has just ended
	}
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			n, _ := strconv.Atoi(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(value), "kB")))
			return n << 10
		}
	}
	return 0
}

// obeyed wants nothing in a text that acts on a terminal or is not seen.
func obeyed(text string) error {
	for at, r := range text {
		_, size := utf8.DecodeRuneInString(text[at:])
		if r == utf8.RuneError && size == 1 || unicode.IsControl(r) && r != '\n' && r != '\t' || unicode.Is(unicode.Cf, r) || r == '\u2028' || r == '\u2029' {
			return fmt.Errorf("it shows %U as it is: %.200q", r, text[max(0, at-100):])
		}
	}
	return nil
}

// words has every kind of server answer with a hostile word, and looks at what a check makes of it in each of
// its formats.
func (h *hostile) words(ctx context.Context) error {
	file, err := h.site("words", h.wordyServers)
	if err != nil {
		return err
	}
	for _, format := range []string{"text", "json", "html"} {
		out, err := h.output(ctx, true, "check", "network", "--all", "--site", file, "--host", "media1", "-o", format)
		if err != nil {
			return err
		}
		if format == "html" && strings.Contains(out, "<script>alert") {
			return fmt.Errorf("the page has the words' markup: %.2000s", out)
		}
	}
	if unmet := h.unmet("registry", "licence", "archive", "camera"); len(unmet) > 0 {
		return fmt.Errorf("nobody asked %v, so nothing is shown of their words", unmet)
	}
	if file, err = h.site("proxied", h.wordyProxy); err != nil {
		return err
	}
	if _, err = h.output(ctx, true, "check", "network", "--all", "--site", file, "--host", "media1"); err != nil {
		return err
	}
	if unmet := h.unmet("proxy"); len(unmet) > 0 {
		return fmt.Errorf("nobody asked %v", unmet)
	}
	if file, err = h.site("released", h.wordyReleases); err != nil {
		return err
	}
	if _, err := h.output(ctx, false, "update", "--dry-run", "--site", file); err != nil {
		return err
	}
	if unmet := h.unmet("releases"); len(unmet) > 0 {
		return fmt.Errorf("nobody asked %v", unmet)
	}
	return nil
}

// site derives a site file from the lab's own.
func (h *hostile) site(name string, change func(site map[string]any) error) (string, error) {
	var failed error
	file, err := h.deriveSite("hostile-"+name, func(site map[string]any) { failed = change(site) })
	return file, errors.Join(err, failed)
}

// page is an answer of HTTP that says a word wherever it can.
func page(status, word string) string {
	return "HTTP/1.1 " + status + " " + word + "\r\nServer: " + word + "\r\nContent-Type: text/html\r\nConnection: close\r\n\r\n<title>" + word + "</title>" + word
}

// servers puts impostors in the place of the vendor's, the cameras', and the names of each.
func (h *hostile) servers(site map[string]any, answer func(name, begin string) error, at map[string]netip.AddrPort) error {
	for _, s := range []struct{ name, begin string }{
		{"registry", ""}, {"licence", "HTTP/1.1 302 "}, {"archive", "HTTP/1.1 200 "}, {"camera", "RTSP/1.0 200 "},
	} {
		if err := answer(s.name, s.begin); err != nil {
			return err
		}
	}
	withNetwork(site, map[string]any{"endpoints": map[string]any{
		vendorsim.Registry: at["registry"].String(), vendorsim.Licences()[0]: at["licence"].String(), vendorsim.UbuntuArchive: at["archive"].String()}})
	port := int(at["camera"].Port())
	withHost(site, "media1", map[string]any{"cameras": []any{map[string]any{"name": "lobby", "address": h.address.String(), "http": port, "rtsp": port}}})
	return nil
}

func (h *hostile) wordyServers(site map[string]any) error {
	certificate, _, err := named(hostileWord, h.address, h.Now())
	if err != nil {
		return err
	}
	at := map[string]netip.AddrPort{}
	return h.servers(site, func(name, begin string) (err error) {
		if name == "registry" {
			at[name], err = h.impostor(name, certificate, saying(page("403", hostileWord)))
			return err
		}
		at[name], err = h.impostor(name, nil, saying(begin+hostileWord+strings.TrimPrefix(page("200", hostileWord), "HTTP/1.1 200 "+hostileWord)))
		return err
	}, at)
}

func (h *hostile) wordyProxy(site map[string]any) error {
	at, err := h.impostor("proxy", nil, saying(page("403", hostileWord)))
	withNetwork(site, map[string]any{"proxy": "http://" + at.String()})
	return err
}

func (h *hostile) wordyReleases(site map[string]any) error {
	at, err := h.impostor("releases", nil, saying("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{\"signed\": \""+hostileWord+"\""))
	releaseFrom(site, at)
	return err
}

// releaseFrom has a site read its releases from there.
func releaseFrom(site map[string]any, at netip.AddrPort) {
	if release, ok := site["release"].(map[string]any); ok {
		release["url"] = "http://" + at.String() + "/valt/"
	}
}

// csvIsPlain wants no cell that a spreadsheet would work out.
func csvIsPlain(text string) error {
	rows, err := csv.NewReader(strings.NewReader(strings.TrimPrefix(text, "\ufeff"))).ReadAll()
	if err != nil {
		return fmt.Errorf("reading the table: %w: %.300s", err, text)
	}
	for _, row := range rows {
		for _, cell := range row {
			if strings.HasPrefix(cell, "=") || strings.HasPrefix(cell, "+") || strings.HasPrefix(cell, "-") || strings.HasPrefix(cell, "@") {
				return fmt.Errorf("a spreadsheet works out %q", cell)
			}
		}
	}
	return nil
}
