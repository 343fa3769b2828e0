package rootfs

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"ipivs.com/valtctl/repos/apt"
)

// MachineMirror is the Debian mirror that this machine's own apt sources (sources.list(5))
// in folder, such as /etc/apt, name for Suite.
func MachineMirror(folder string) (string, error) {
	files, err := filepath.Glob(filepath.Join(folder, "sources.list.d", "*"))
	if err != nil {
		return "", fmt.Errorf("listing this machine's apt sources: %w", err)
	}
	for _, file := range append([]string{filepath.Join(folder, "sources.list")}, files...) {
		content, err := os.ReadFile(file)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return "", fmt.Errorf("reading this machine's apt sources: %w", err)
		}
		if uri := suiteURI(filepath.Ext(file), content); uri != "" {
			return uri, nil
		}
	}
	return "", fmt.Errorf("finding a Debian mirror: this machine's apt sources name none for %s; name one with --mirror", Suite)
}

// suiteURI is the address for Suite in one file; empty where it has none. A file that apt
// would not understand is passed over: it is not ours to judge.
func suiteURI(ext string, content []byte) string {
	if ext == ".sources" {
		for p, err := range apt.Paragraphs(bytes.NewReader(content)) {
			if err != nil {
				return ""
			}
			if uris := p.Words("URIs"); len(uris) > 0 && slices.Contains(p.Words("Suites"), Suite) {
				return strings.TrimSuffix(uris[0], "/")
			}
		}
		return ""
	}
	for line := range strings.Lines(string(content)) {
		words := strings.Fields(line)
		if len(words) > 1 && words[0] == "deb" && strings.HasPrefix(words[1], "[") {
			end := slices.IndexFunc(words, func(w string) bool { return strings.HasSuffix(w, "]") })
			words = append(words[:1], words[end+1:]...)
		}
		if len(words) > 2 && words[0] == "deb" && words[2] == Suite {
			return strings.TrimSuffix(words[1], "/")
		}
	}
	return ""
}
