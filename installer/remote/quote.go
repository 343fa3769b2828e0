package remote

import (
	"fmt"
	"strings"
)

// quote makes the one string that SSH hands to the login's shell (RFC 4254, section
// 6.5). Every shell reads single quotes alike as long as quotes, backslashes, newlines
// and exclamation marks are absent (csh and fish differ there), so those are refused.
func quote(argv []string) (string, error) {
	words := make([]string, len(argv))
	for i, word := range argv {
		if strings.ContainsAny(word, "'\\\n\r!\x00") {
			return "", fmt.Errorf("running %s: argument %d holds a character that not every login shell passes on", argv[0], i)
		}
		words[i] = word
		if word == "" || strings.Trim(word, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-") != "" {
			words[i] = "'" + word + "'"
		}
	}
	return strings.Join(words, " "), nil
}
