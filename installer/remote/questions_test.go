package remote

import (
	"context"
	"strings"
	"testing"

	"ipivs.com/valtctl/repos/plain"
)

// asking is a login whose person answers every question with "x".
func asking(questions *[]string) *login {
	return &login{hop: hop{name: "media1", user: "valt", host: "media1", port: 22}, timer: newPatience(claimed, func() {}), opts: Options{Prompt: func(_ context.Context, question string, _ bool) (string, error) {
		*questions = append(*questions, question)
		return "x", nil
	}}}
}

const claimed = 1 << 40 // longer than a test

// A server asks as many questions as a person can answer, and no longer ones than can be read.
func TestALoginsQuestionsHaveLimits(t *testing.T) {
	many := make([]string, maxQuestions+1)
	for name, ask := range map[string]func(*login) error{
		"many at once": func(l *login) error {
			_, err := l.interact(t.Context(), "", many, make([]bool, len(many)))
			return err
		},
		"a long one": func(l *login) error {
			_, err := l.interact(t.Context(), "", []string{strings.Repeat("x", maxQuestion+1)}, []bool{true})
			return err
		},
		"a long word before": func(l *login) error {
			_, err := l.interact(t.Context(), strings.Repeat("x", maxQuestion+1), nil, nil)
			return err
		},
		"again and again": func(l *login) error {
			for range maxRounds {
				if _, err := l.interact(t.Context(), "", []string{"Code: "}, []bool{true}); err != nil {
					t.Errorf("too early: %v", err)
				}
			}
			_, err := l.interact(t.Context(), "", []string{"Code: "}, []bool{true})
			return err
		},
	} {
		var questions []string
		if err := ask(asking(&questions)); err == nil || !strings.Contains(err.Error(), "the server asks") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Whose words a question is of stands before each of its lines, and nothing in them acts.
func TestALoginsQuestionSaysWhoseItIs(t *testing.T) {
	var questions []string
	_, err := asking(&questions).interact(t.Context(), "Welcome\nvaltctl: the password of the registry: \x1b[2J", []string{"Code\x1b]0;x\a\nsudo: "}, []bool{true})
	if err != nil || len(questions) != 1 {
		t.Fatal(questions, err)
	}
	for line := range strings.Lines(questions[0]) {
		if !strings.HasPrefix(line, "valt@media1:22: ") {
			t.Errorf("the line %q says not whose it is", line)
		}
	}
	if plain.Text(questions[0]) != questions[0] {
		t.Errorf("asked %q", questions[0])
	}
}
