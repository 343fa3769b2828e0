package release

import (
	"bytes"
	"embed"
	"encoding/json"
	"errors"
	"fmt"

	"ipivs.com/valtctl/repos/problem"
)

//go:embed trust
var builtIn embed.FS

// BuiltInRoot is the root of trust that this build carries (trust/README.md), or nil
// where it carries none.
func BuiltInRoot() []byte {
	data, err := builtIn.ReadFile("trust/root.json")
	if err != nil {
		return nil
	}
	return data
}

// startRoot chooses what go-tuf starts from: the newest root of the chain, and the given
// root only where there is no chain yet. That way no binary and no site file brings back
// a key that a later root revoked.
func startRoot(c chain, given []byte, dir string) (root, error) {
	if len(given) == 0 && len(c.roots) == 0 {
		return root{}, &problem.Error{
			Kind: problem.Input, Doing: "choosing a root of trust for releases",
			Err: errors.New("this build carries none and the site file names none"),
			Fix: "set release.root in the site file to the repository's root file, received from the vendor by a way you trust",
		}
	}
	if len(given) == 0 {
		return c.newest(), nil
	}
	version, err := givenVersion(given)
	if err != nil {
		return root{}, err
	}
	if len(c.roots) == 0 {
		return root{version: version, data: given}, nil
	}
	return c.newest(), sameRoot(c, root{version: version, data: given}, dir)
}

// givenVersion is the version of a given root that is signed by its own keys.
func givenVersion(given []byte) (int64, error) {
	if err := checkRoot(given, 0); err != nil {
		return 0, &problem.Error{
			Kind: problem.Trust, Doing: "reading the root of trust for releases", Err: err,
			Fix: "set release.root to a root file of the repository (metadata/N.root.json), as the vendor gave it to you",
		}
	}
	var r struct {
		Signed struct{ Version int64 }
	}
	if err := json.Unmarshal(given, &r); err != nil {
		return 0, fmt.Errorf("reading the version of the root of trust: %w", err)
	}
	return r.Signed.Version, nil
}

// sameRoot refuses a chain that belongs to another repository than the given root: the
// same version, signed over something else. A version that the chain does not hold (yet)
// says nothing; reached checks it again after a refresh.
func sameRoot(c chain, given root, dir string) error {
	kept, ok := c.version(given.version)
	if !ok || bytes.Equal(signedPart(kept.data), signedPart(given.data)) {
		return nil
	}
	return &problem.Error{
		Kind: problem.Trust, Doing: "comparing the root of trust with the one followed so far in", Object: dir,
		Err: fmt.Errorf("version %d of the root is another one", given.version),
		Fix: "set release.root to the repository that this site has followed; only if the repository was replaced on purpose, remove " + dir,
	}
}

// reached refuses a refresh that ended below the given root: the repository hides
// root versions that the given one proves to exist.
func reached(c chain, given []byte, address, dir string) error {
	if len(given) == 0 {
		return nil
	}
	version, err := givenVersion(given)
	if err != nil {
		return err
	}
	if newest := c.newest().version; newest < version {
		return &problem.Error{
			Kind: problem.Trust, Doing: "reading the root of trust from", Object: address,
			Err: fmt.Errorf("the repository ends at root version %d, but version %d exists", newest, version),
			Fix: "somebody may be hiding a newer root: compare release.url with the vendor's, and ask the vendor before going on",
		}
	}
	return sameRoot(c, root{version: version, data: given}, dir)
}

// signedPart is the compacted "signed" of metadata, without the signatures: a root may
// gain signatures without becoming another root.
func signedPart(data []byte) []byte {
	var m struct{ Signed json.RawMessage }
	var compact bytes.Buffer
	if json.Unmarshal(data, &m) != nil || json.Compact(&compact, m.Signed) != nil {
		return data
	}
	return compact.Bytes()
}
