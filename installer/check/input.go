package check

import (
	"time"

	"ipivs.com/valtctl/installer/facts"
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
}

// Certificate is the controller's copy of the site's certificate and key. Err is why it
// could not be read.
type Certificate struct {
	Chain, Key []byte
	Err        error
}

// Offer is what the release repository has to update to (ReadOffer).
type Offer struct {
	Err     error  // why the repository could not be asked
	Channel string // that was asked; empty: a version was given
	Wanted  string // the version that the channel has, or that was given
	// Releases are the manifests after the oldest installed version up to the wanted one.
	Releases []*release.Manifest
}

// JudgeHosts answers the topic hosts.
func JudgeHosts(in Input) []Result { return nil }

// JudgeExpiry answers the topic expiry, soonest end first.
func JudgeExpiry(in Input) []Result { return nil }

// JudgeUpdate answers the topic update.
func JudgeUpdate(in Input) []Result { return nil }
