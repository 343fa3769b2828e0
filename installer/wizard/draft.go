package wizard

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
)

// draft is what is kept of answers that have not become a site file yet. No answer is a
// secret: those are files, and only their names are answers.
type draft struct {
	Schema  string            `json:"schema"`
	File    string            `json:"file"`
	Base    string            `json:"base"` // SHA-256 of the file that the answers are about
	Answers map[string]string `json:"answers"`
	Done    []string          `json:"done"`
}

const draftSchema = "valtctl/draft/v1"

// ErrChanged says that the site file is another than the one the answers were about.
var ErrChanged = errors.New("the site file has changed since")

// Draft is the answers so far, for Restore.
func (g *Guide) Draft() ([]byte, error) {
	d := draft{Schema: draftSchema, File: g.around.File, Base: g.hash(), Answers: g.answer}
	for _, f := range slices.Sorted(maps.Keys(g.done)) {
		if g.done[f] {
			d.Done = append(d.Done, f)
		}
	}
	text, err := json.MarshalIndent(d, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("keeping the answers: %w", err)
	}
	return append(text, '\n'), nil
}

// Restore goes on with answers that Draft gave. ErrChanged: they are about another file.
func (g *Guide) Restore(text []byte) error {
	var d draft
	if err := json.Unmarshal(text, &d); err != nil {
		return fmt.Errorf("reading the answers that were kept: %w", err)
	}
	if d.Schema != draftSchema {
		return fmt.Errorf("reading the answers that were kept: they are %q, not %q", d.Schema, draftSchema)
	}
	if d.Base != g.hash() {
		return ErrChanged
	}
	g.answer, g.done = map[string]string{}, map[string]bool{}
	maps.Copy(g.answer, d.Answers)
	for _, f := range d.Done {
		g.done[f] = true
	}
	return nil
}

// Answered is how many questions have been answered.
func (g *Guide) Answered() int {
	n := 0
	for _, q := range g.clone().Questions() {
		if g.done[q.Field] && q.fixed == "" {
			n++
		}
	}
	return n
}

func (g *Guide) hash() string {
	sum := sha256.Sum256(g.base)
	return hex.EncodeToString(sum[:])
}
