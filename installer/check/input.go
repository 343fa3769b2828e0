package check

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"time"

	"ipivs.com/valtctl/installer/facts"
	"ipivs.com/valtctl/installer/probe"
	"ipivs.com/valtctl/installer/site"
	"ipivs.com/valtctl/installer/survey"
	"ipivs.com/valtctl/repos/release"
)

// Input is everything that is judged about hosts, expiry and updates. Whoever asks fills
// it; what could not be had stays empty and is answered unknown. The judges read nothing
// else.
type Input struct {
	Site     *site.Site
	Manifest *release.Manifest // what is or will be installed; nil: none could be read
	Hosts    []HostSeen        // those asked, in the site's order
	Now      time.Time

	Certificate Certificate
	// Endpoints are the ends of certificates that probes were shown, by name.
	Endpoints map[string]time.Time
	// Metadata is what the last refresh of the release repository trusted, and MetadataErr
	// why there is none.
	Metadata    release.State
	MetadataErr error
	Offer       Offer
}

// HostSeen is one host as it was seen.
type HostSeen struct {
	Host      site.Host
	Facts     *facts.Facts // nil: see FactsErr
	FactsErr  error        // also beside Facts, for what could not be read
	Survey    *survey.Reply
	SurveyErr error
	// ClockOffset is the host's clock less the controller's, positive if it is ahead; nil:
	// not measured.
	ClockOffset *time.Duration
	// VendorOffset is the vendor's servers' clock less the host's (VendorOffsets); nil: not
	// known.
	VendorOffset *time.Duration
	// Names is what the host's own name servers answered (NameQuestion); nil: not asked.
	Names *probe.Outcome
}

// Certificate is the controller's copy of the site's certificate and key. Err is why it
// could not be read. Missing says which certificate the chain lacks.
type Certificate struct {
	Chain, Key []byte
	Missing    string
	Err        error
}

// leaf is the first certificate of the chain.
func (c Certificate) leaf() (*x509.Certificate, error) {
	if c.Err != nil {
		return nil, c.Err
	}
	block, _ := pem.Decode(c.Chain)
	if block == nil {
		return nil, errors.New("reading the site's certificate: it holds nothing in PEM")
	}
	leaf, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("reading the site's certificate: %w", err)
	}
	return leaf, nil
}

// SurveyRequest is what a host of the site is asked. With a manifest its paths and the
// engine's passwords are known; without one a host that serves media is not written to.
// For the topic update give the wanted release, else nil.
func SurveyRequest(s *site.Site, h site.Host, m, wanted *release.Manifest) survey.Request {
	r := survey.Request{Folders: []string{"/", applicationFolder}, Names: asker{site: s}.names()}
	if h.Recordings != "" {
		r.Folders = append(r.Folders, h.Recordings)
		r.Write = append(r.Write, h.Recordings)
	} else {
		r.Write = append(r.Write, applicationFolder)
	}
	if m != nil {
		for _, role := range site.RolesThat(func(s site.RoleSpec) bool { return s.Engine }) {
			for _, p := range m.Roles[string(role)].Passwords {
				r.EnginePasswords = append(r.EnginePasswords, p.Path)
			}
		}
		if s.SSL && s.Cloud == nil {
			r.Certificates = append(r.Certificates, m.Paths.Certificate)
		}
	}
	if wanted != nil {
		r.Packages = packagesFor(h, wanted)
	}
	return r
}

// packagesFor lists the packages that a release wants on a host, as apt names them.
func packagesFor(h site.Host, m *release.Manifest) []string {
	var all []string
	for _, p := range m.Packages {
		if len(p.Roles) > 0 && !slices.ContainsFunc(p.Roles, func(r string) bool { return h.Has(site.Role(r)) }) {
			continue
		}
		name := p.Name
		if p.Version != "" {
			name += "=" + p.Version
		}
		all = append(all, name)
	}
	return all
}
