package installer

import (
	"cmp"
	"context"
	"slices"

	"ipivs.com/valtctl/installer/txn"
)

// History is every host's transactions, newest first. What could be read comes along with
// the error of a host that could not.
func History(ctx context.Context, o Options) ([]txn.Summary, error) {
	hosts, err := picked(o.Site, o.Hosts)
	if err != nil {
		return nil, err
	}
	found := make([][]txn.Summary, len(hosts))
	err = each(len(hosts), func(i int) error {
		return withSession(ctx, o, hosts[i], func(s *session) error {
			reply, err := s.client.TxnList(ctx)
			if err != nil {
				return err
			}
			found[i] = reply.Transactions
			return nil
		})
	})
	all := slices.Concat(found...)
	slices.SortStableFunc(all, func(a, b txn.Summary) int { return cmp.Or(b.Started.Compare(a.Started), cmp.Compare(a.Host, b.Host)) })
	return all, err
}
