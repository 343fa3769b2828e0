package updater

import (
	"errors"

	"ipivs.com/valtctl/installer/site"
	"ipivs.com/valtctl/repos/problem"
	"ipivs.com/valtctl/repos/release"
)

// Order says which role may go first when a site goes from one version to a release: the
// one that goes first works for a while beside the other's old version. An error is a
// release that no site can be rolled to from there.
func Order(from string, m *release.Manifest) (mediaFirst, appFirst bool, err error) {
	beside := func(ownTurn bool) error {
		var errs []error
		for _, role := range site.RolesThat(func(r site.RoleSpec) bool { return r.OwnTurn == ownTurn }) {
			errs = append(errs, m.AllowsBeside(string(role), from))
		}
		return errors.Join(errs...)
	}
	app, waves := beside(true), beside(false)
	if app == nil || waves == nil {
		return app == nil, waves == nil, nil
	}
	return false, false, &problem.Error{Kind: problem.Check, Doing: "planning the order of an update to", Object: m.Version,
		Err: errors.Join(app, waves),
		Fix: "neither the application nor the media servers can go first; go there by a release in between: valtctl update --to V"}
}
