package main

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/manifoldco/promptui"

	"ipivs.com/valtctl/installer/wizard"
	"ipivs.com/valtctl/repos/plain"
)

// errStopped says that the person pressed Ctrl-C, or that the terminal is gone.
var errStopped = errors.New("stopped")

// longest is how long an answer may be to be shown for editing: a line that wraps is drawn
// anew below itself with every key.
const longest = 40

// prompter asks at a terminal.
type prompter struct {
	keys *keys
	// drawn is where prompts move the cursor: no filter stands behind it, so what they hold
	// goes through package plain. Everything else is said to out.
	drawn, out io.Writer
	// columns is how wide the terminal is now.
	columns func() int
}

// promptWriter is where one prompt is drawn. It drops the bell, which rings with every arrow
// key, and all that comes after the prompt's end.
type promptWriter struct {
	out  io.Writer
	mu   sync.Mutex
	shut bool
}

func (w *promptWriter) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.shut || string(p) == "\a" {
		return len(p), nil
	}
	return w.out.Write(p)
}

// Close ends the prompt, and not what is beneath.
func (w *promptWriter) Close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.shut = true
	return nil
}

func (t *prompter) sayf(format string, args ...any) {
	for i, arg := range args {
		args[i] = oneLine(arg)
	}
	fmt.Fprint(t.out, wrapped(fmt.Sprintf(format, args...), t.columns()))
}

// wrapped breaks lines that are longer than a terminal is wide, between words, and keeps
// their indentation.
func wrapped(text string, columns int) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		pad := line[:len(line)-len(strings.TrimLeft(line, " "))]
		at := 0
		for i, word := range strings.Split(strings.TrimLeft(line, " "), " ") {
			n := utf8.RuneCountInString(strings.TrimRight(word, "\n"))
			switch {
			case i == 0:
				b.WriteString(pad)
				at = len(pad)
			case at+1+n >= columns:
				b.WriteString("\n" + pad)
				at = len(pad)
			default:
				b.WriteString(" ")
				at++
			}
			b.WriteString(word)
			at += n
		}
	}
	return b.String()
}

// line asks for one line. Enter alone is what fallback says.
func (t *prompter) line(label, fallback string) (string, gesture, error) {
	shown := fallback
	if len(shown) > longest || shown != plain.Line(shown) {
		shown = ""
	}
	label = plain.Line(label)
	const plain = "{{ . | bold }}: "
	held := t.keys.begin(false)
	defer held.end()
	out := &promptWriter{out: t.drawn}
	defer out.Close() // before what was held back goes on
	p := promptui.Prompt{Label: label, Default: shown, Stdin: t.keys, Stdout: out, Pointer: underCursor, Validate: held.holdBack,
		Templates: &promptui.PromptTemplates{Prompt: plain, Valid: plain, Invalid: plain, Success: "{{ . }}: "}}
	text, err := p.Run()
	if err != nil {
		return "", answers, stopped(err)
	}
	if pasted := t.keys.pasted; pasted != "" {
		if text == shown {
			text = "" // pasted over what was offered
		}
		text += pasted
		t.sayf("  pasted: %s\n", excerpt(pasted))
	}
	switch strings.TrimSpace(text) {
	case "?":
		return "", explain, nil
	case "<":
		return "", back, nil
	case "-":
		return "", answers, nil
	case "":
		if shown == "" {
			return fallback, answers, nil
		}
	}
	return text, answers, nil
}

// underCursor shows what the cursor is on in reverse, so that it hides nothing.
func underCursor(on []rune) []rune { return []rune("\x1b[7m" + string(on) + "\x1b[0m") }

// excerpt is the first of what was pasted, on one line.
func excerpt(text string) string {
	words := strings.Fields(text)
	const few = 5
	if len(words) > few {
		return strings.Join(words[:few], " ") + fmt.Sprintf(" … (%d in all)", len(words))
	}
	return strings.Join(words, " ")
}

// choose asks for one of a few.
func (t *prompter) choose(label string, options []wizard.Option, at string) (string, gesture, error) {
	pos := 0
	for i, o := range options {
		if o.Value == at {
			pos = i
		}
	}
	defer t.keys.begin(true).end()
	shown := slices.Clone(options)
	for i := range shown {
		shown[i].Text = plain.Line(shown[i].Text)
	}
	label = plain.Line(label)
	out := &promptWriter{out: t.drawn}
	defer out.Close()
	s := promptui.Select{Label: label, Items: shown, CursorPos: pos, Size: 12, HideSelected: true, HideHelp: true, Stdin: t.keys, Stdout: out,
		Templates: &promptui.SelectTemplates{Label: "{{ . | bold }}:", Active: "▸ {{ .Text | underline }}", Inactive: "  {{ .Text }}"}}
	n, _, err := s.Run()
	if err != nil {
		return "", answers, stopped(err)
	}
	if g := t.keys.gesture; g != answers {
		return "", g, nil
	}
	t.sayf("%s: %s\n", label, options[n].Text)
	return options[n].Value, answers, nil
}

func stopped(err error) error {
	if errors.Is(err, promptui.ErrInterrupt) || errors.Is(err, promptui.ErrEOF) || errors.Is(err, io.EOF) {
		return errStopped
	}
	return fmt.Errorf("asking at the terminal: %w", err)
}
