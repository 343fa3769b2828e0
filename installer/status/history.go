package status

import (
	"cmp"
	"context"
	"slices"

	"ipivs.com/valtctl/installer/fleet"
	"ipivs.com/valtctl/installer/txn"
)

// History is every host's transactions, newest first. What could be read comes along with
// the error of a host that could not.
func History(ctx context.Context, o fleet.Options) ([]txn.Summary, error) {
	hosts, err := o.Chosen()
	if err != nil {
		return nil, err
	}
	found := make([][]txn.Summary, len(hosts))
	err = fleet.Each(indices(hosts), func(i int) error {
		return fleet.With(ctx, o, hosts[i], func(h *fleet.Host) (err error) {
			found[i], err = h.Past(ctx)
			return err
		})
	})
	all := slices.Concat(found...)
	slices.SortStableFunc(all, func(a, b txn.Summary) int { return cmp.Or(b.Started.Compare(a.Started), cmp.Compare(a.Host, b.Host)) })
	return all, err
}
