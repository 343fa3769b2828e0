package apt

import (
	"fmt"

	"pault.ag/go/debian/version"
)

// CompareVersions orders two package versions as dpkg does (deb-version(7)): below 0
// where a is older, 0 where they are equal, above 0 where a is newer.
func CompareVersions(a, b string) (int, error) {
	va, err := version.Parse(a)
	if err != nil {
		return 0, fmt.Errorf("reading the version %q: %w", a, err)
	}
	vb, err := version.Parse(b)
	if err != nil {
		return 0, fmt.Errorf("reading the version %q: %w", b, err)
	}
	return version.Compare(va, vb), nil
}
