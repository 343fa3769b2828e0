package apt

import (
	"context"
	"encoding/json"
	"fmt"
	"path"
	"slices"
	"strings"

	"ipivs.com/valtctl/installer/step"
	"ipivs.com/valtctl/repos/problem"
)

// JudgeSources refuses a plan for a host whose apt would read no sources once the plan's own are there,
// or takes other files than those that a release was tried with. It is asked before anything is changed:
// what is installed looks well on such a host, so no step by itself would notice before it fails. Plans
// that install nothing, and those whose packages come from a bundle, need no sources.
func JudgeSources(ctx context.Context, h *step.Machine, specs []step.Spec) error {
	planned, installs, online, err := plannedSources(specs)
	if err != nil || !installs {
		return err
	}
	takes, err := variants(ctx, h)
	if err != nil {
		return err
	}
	if len(takes) > 0 {
		return variantsProblem(takes)
	}
	if !online {
		return nil
	}
	said, err := sourcesComplaint(ctx, h)
	if err != nil {
		return err
	}
	now, err := listings(h)
	if err != nil {
		return err
	}
	then := withPlanned(now, planned)
	if two := clash(then); two != nil {
		return clashProblem(two)
	}
	if said == "" || replacedOnly(said, now, then) {
		return nil
	}
	return &problem.Error{Kind: problem.Check, Doing: "reading", Object: "apt's sources", Err: fmt.Errorf("apt refuses them:\n%s", said),
		Fix: "Nothing was changed. Correct or remove the file that apt names, on the host, until sudo apt-get update is content; then run the command again."}
}

// plannedSources sorts specs: the sources that they write, whether they install packages, and whether
// any of those come from the host's own sources. A source that cannot be written is its step's to tell.
func plannedSources(specs []step.Spec) (planned []SourceParams, installs, online bool, err error) {
	for _, spec := range specs {
		switch spec.Kind {
		case KindSource:
			var p SourceParams
			if err := json.Unmarshal(spec.Params, &p); err != nil {
				return nil, false, false, fmt.Errorf("reading step %s: %w", spec.ID, err)
			}
			planned = append(planned, p)
		case KindPackages, KindDownload:
			var p PackagesParams
			if err := json.Unmarshal(spec.Params, &p); err != nil {
				return nil, false, false, fmt.Errorf("reading step %s: %w", spec.ID, err)
			}
			installs, online = true, online || p.Bundle == ""
		}
	}
	return planned, installs, online, nil
}

// withPlanned is what apt will read once the planned sources are there, in its order.
func withPlanned(now []Listing, planned []SourceParams) []Listing {
	gone := map[string]bool{}
	var then []Listing
	for _, s := range planned {
		file := path.Join(sourcesFolder, s.Name+".sources")
		gone[file] = true
		for _, replaced := range s.Replaces {
			gone[replaced] = true
		}
		signedBy := s.Keyring
		if signedBy == "" {
			signedBy = path.Join(keyringsFolder, s.Name+".gpg")
		}
		for _, suite := range s.Suites {
			then = append(then, Listing{File: file, URI: s.URI, Suite: suite, SignedBy: signedBy, Ours: true})
		}
	}
	for _, l := range now {
		if !gone[l.File] {
			then = append(then, l)
		}
	}
	slices.SortStableFunc(then, func(a, b Listing) int {
		if (path.Dir(a.File) == sourcesFolder) != (path.Dir(b.File) == sourcesFolder) {
			return strings.Compare(path.Dir(a.File), path.Dir(b.File)) // sources.list comes first
		}
		return strings.Compare(a.File, b.File)
	})
	return then
}

// replacedOnly says that apt's complaint is about files that the plan takes away.
func replacedOnly(said string, now, then []Listing) bool {
	if clashing.MatchString(said) {
		return true // who clashes then was looked at
	}
	stays := map[string]bool{}
	for _, l := range then {
		stays[l.File] = true
	}
	for _, l := range now {
		if !stays[l.File] && strings.Contains(said, l.File) {
			return true
		}
	}
	return false
}

func clashProblem(two []Listing) error {
	return &problem.Error{Kind: problem.Check, Doing: "reading", Object: "apt's sources",
		Err: fmt.Errorf("apt refuses all of them, since two files list %s %s with different keys: %s, and %s", two[0].URI, two[0].Suite, two[0], two[1]),
		Fix: "Nothing was changed. " + ClashFix(two)}
}

// ClashFix says how to end a clash. The file that stays is ours, where one is.
func ClashFix(two []Listing) string {
	keep, away := two[0], two[1]
	if away.Ours && !keep.Ours {
		keep, away = away, keep
	}
	if keep.File == away.File {
		return fmt.Sprintf("On the host: leave one of the two entries in %s, until sudo apt-get update is content.", keep.File)
	}
	return fmt.Sprintf("On the host: keep %s, take the entry out of %s (sudo mv %s %s.save if it holds nothing else), until sudo apt-get update is content.",
		keep.File, away.File, away.File, away.File)
}

// VariantsFix is the way back to the packages that everybody has.
const VariantsFix = `on the host: remove APT::Architecture-Variants from /etc/apt/apt.conf.d (grep -r Architecture-Variants /etc/apt), then: sudo apt-get update`

func variantsProblem(takes []string) error {
	return &problem.Error{Kind: problem.Check, Doing: "reading", Object: "apt's settings",
		Err: fmt.Errorf("the host takes package variants (%s): other files than those that the release was tried with, under the same names and versions",
			strings.Join(takes, ", ")),
		Fix: "Nothing was changed. " + strings.ToUpper(VariantsFix[:1]) + VariantsFix[1:]}
}
