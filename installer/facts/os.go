package facts

import "errors"

// ReadOS is what the os-release below root says, alone. Root is "" on a real host.
func ReadOS(root string) (OS, error) {
	h := &host{root: root}
	return h.os(), errors.Join(h.errs...)
}
