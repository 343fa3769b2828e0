package installer

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"ipivs.com/valtctl/installer/txn"
)

// Past is one transaction of one host.
type Past = txn.Summary

// History is every host's transactions, newest first. What could be read comes along with
// the error of a host that could not.
func History(ctx context.Context, o Options) ([]Past, error) {
	hosts, err := picked(o.Site, o.Hosts)
	if err != nil {
		return nil, err
	}
	found := make([][]Past, len(hosts))
	err = each(len(hosts), func(i int) error {
		return withSession(ctx, o, hosts[i], func(s *session) error {
			reply, err := s.client.TxnList(ctx)
			if err != nil {
				return err
			}
			for _, t := range reply.Transactions {
				var past Past
				if err := json.Unmarshal(t.More, &past); err != nil {
					return fmt.Errorf("reading transaction %s: %w", t.ID, err)
				}
				found[i] = append(found[i], past)
			}
			return nil
		})
	})
	all := slices.Concat(found...)
	slices.SortStableFunc(all, func(a, b Past) int { return cmp.Or(b.Started.Compare(a.Started), cmp.Compare(a.Host, b.Host)) })
	return all, err
}
