package installer

import (
	"bytes"
	"errors"
	"fmt"

	"ipivs.com/valtctl/installer/site"
	"ipivs.com/valtctl/installer/step"
	"ipivs.com/valtctl/repos/problem"
)

// readTrust reads the authorities that a site names beside the system's. All that cannot
// be read are reported.
func readTrust(s *site.Site) ([]step.Authority, error) {
	var all []step.Authority
	var errs []error
	for _, path := range s.Network.Trust {
		content, err := readCapped(path)
		if err != nil {
			errs = append(errs, &problem.Error{Kind: problem.Input, Doing: "reading", Object: place(s, "network.trust"), Err: err,
				Fix: "put the file there, or name another in the site file"})
			continue
		}
		all = append(all, step.Authority{Name: pemName(path), PEM: string(content)})
	}
	return all, errors.Join(errs...)
}

// checkTrust wants each of them to be an authority.
func checkTrust(s *site.Site, all []step.Authority) error {
	var errs []error
	for _, c := range all {
		if err := checkPEM([]byte(c.PEM)); err != nil {
			errs = append(errs, &problem.Error{Kind: problem.Input, Doing: "reading", Object: place(s, "network.trust") + ": " + c.Name,
				Err: err, Fix: "give a certificate authority as PEM"})
		}
	}
	return errors.Join(errs...)
}

// pemOf is authorities as one PEM text.
func pemOf(all []step.Authority) []byte {
	var text bytes.Buffer
	for _, a := range all {
		fmt.Fprintf(&text, "%s\n", a.PEM)
	}
	return text.Bytes()
}
