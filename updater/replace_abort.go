package updater

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"ipivs.com/valtctl/repos/problem"
)

// AbortReplace ends a replacement that is not decided: the old server and those that drive it go back
// to what they were, and the new one keeps what it was made ready with, and serves nothing. It says
// what it did.
func AbortReplace(ctx context.Context, o ReplaceOptions) (string, error) {
	if o.Begun.Moved {
		return "", &problem.Error{Kind: problem.Check, Doing: "aborting the replacement of", Object: o.What.Old, Err: fmt.Errorf("%s has its place already", o.What.New),
			Fix: fmt.Sprintf("valtctl resume ends it well; then go back with: valtctl replace %s --with %s", o.What.New, o.What.Old)}
	}
	o.Begun = &Replacing{What: o.What}
	m, err := beginReplacement(ctx, o)
	if err != nil {
		return "", err
	}
	done, err := m.abort(ctx)
	return done, errors.Join(err, m.work.Close())
}

func (m *replacement) abort(ctx context.Context) (string, error) {
	left := m.work.Unfinished()
	if m.DryRun {
		return fmt.Sprintf("%d unfinished changes would go back", len(left)), nil
	}
	if m.o.Accept != nil {
		p := &ReplacePreview{Old: m.old.Name, New: m.new.Name, Notes: []string{"what is unfinished of it goes back, and " + m.old.Name + " serves as before"}}
		if err := m.o.Accept(ctx, p); err != nil {
			return "", err
		}
	}
	m.work.Options.Outlive = false // whoever is at work on it is not outlived
	held, holding, err := m.work.Hold(ctx, nil)
	if err != nil {
		return "", err
	}
	if err := m.takeBackAll(holding, left, "aborted by "+m.Who); err != nil {
		return "", errors.Join(err, held.Release(ctx))
	}
	return fmt.Sprintf("the replacement is aborted; %s has its place, and %s serves nothing", m.old.Name, m.new.Name),
		errors.Join(held.Note(ctx, json.RawMessage("null")), held.Release(ctx))
}
