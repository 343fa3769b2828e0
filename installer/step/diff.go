package step

import (
	"bytes"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/rogpeppe/go-internal/diff"
)

// maxDiff caps one step's diff, in bytes: a person reads it, and it travels in one call.
const maxDiff = 64 << 10

// TextDiff is the unified diff of a file. What is not text is told by its size.
func TextDiff(path string, was, want []byte) string {
	if !utf8.Valid(was) || !utf8.Valid(want) {
		return fmt.Sprintf("- %s (%d bytes)\n+ %s (%d bytes)\n", path, len(was), path, len(want))
	}
	from := path
	if was == nil {
		from = "/dev/null"
	}
	text := string(diff.Diff(from, was, path, want))
	// The first line only repeats both names as a command.
	if _, rest, ok := strings.Cut(text, "\n"); ok && strings.HasPrefix(text, "diff ") {
		text = rest
	}
	if len(text) > maxDiff {
		text = text[:maxDiff] + "\n… cut\n"
	}
	return text
}

// SecretDiff says that a secret file differs without showing a byte of it.
func SecretDiff(path string, was, want []byte) string {
	switch {
	case was == nil:
		return fmt.Sprintf("+ %s (secret, not shown)\n", path)
	case bytes.Equal(was, want):
		return ""
	}
	return fmt.Sprintf("- %s (secret, not shown)\n+ %s (secret, not shown)\n", path, path)
}
