package lab

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
)

// own refuses to touch a lab of the same name whose state is in another folder: another
// checkout of the sources, most often. One whose folder is gone is nobody's, and taken over.
func (l *Lab) own(ctx context.Context) error {
	home, err := l.engine.Home(ctx, l.Network())
	if err != nil {
		return err
	}
	return l.judgeHome(home)
}

// judgeHome is own for the folder that the network names; empty: it was made by an older
// valtlab, which did not say.
func (l *Lab) judgeHome(home string) error {
	if home == "" || home == l.Path() {
		return nil
	}
	if _, err := os.Stat(filepath.Join(home, filepath.Base(l.statePath()))); os.IsNotExist(err) {
		return nil
	}
	return fmt.Errorf("the lab %s on this machine is that of %s: give this one a --name and a --subnet of its own, or take that one down with: valtlab --dir %s --name %s --subnet %s down",
		l.Name(), home, home, l.Name(), l.Subnet())
}
