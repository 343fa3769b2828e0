package inputs

import (
	"bytes"
	"net/http"

	"ipivs.com/valtctl/installer/site"
)

// Outward is how this machine reaches the vendor's servers, by the site's proxy and
// authorities, and the password of the registry; nil where the site names none.
func Outward(s *site.Site) (http.RoundTripper, []byte, error) {
	trust, err := ReadTrust(s)
	if err != nil {
		return nil, nil, err
	}
	client, err := outward(s, trust)
	if err != nil {
		return nil, nil, err
	}
	if s.Registry.PasswordFile == "" {
		return client.Transport, nil, nil
	}
	password, err := readText(s.Registry.PasswordFile)
	if err != nil {
		return nil, nil, missing(s, "registry.password_file", err)
	}
	return client.Transport, bytes.TrimSpace(password), nil
}
