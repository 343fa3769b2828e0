package vendorsim

import (
	"fmt"

	"golang.org/x/crypto/bcrypt"
)

// MetaRelease is changelogs.ubuntu.com's /meta-release-lts, which names the LTS
// releases that an Ubuntu may be upgraded to (format: update-manager's meta-release).
func MetaRelease() []byte {
	return []byte(`Dist: jammy
Name: Jammy Jellyfish
Version: 22.04.5 LTS
Date: Thu, 21 April 2022 22:04:00 UTC
Supported: 1

Dist: noble
Name: Noble Numbat
Version: 24.04 LTS
Date: Thu, 25 April 2024 00:24:04 UTC
Supported: 1

Dist: resolute
Name: Resolute Raccoon
Version: 26.04 LTS
Date: Thu, 23 April 2026 00:26:04 UTC
Supported: 1
`)
}

// ACMEDirectory is the directory object of RFC 8555 section 7.1.1.
func ACMEDirectory() []byte {
	const base = "https://" + ACME + "/acme/"
	return []byte(`{
  "keyChange": "` + base + `key-change",
  "newAccount": "` + base + `new-acct",
  "newNonce": "` + base + `new-nonce",
  "newOrder": "` + base + `new-order",
  "revokeCert": "` + base + `revoke-cert"
}
`)
}

// RegistryConfig is the registry's configuration, version 0.1 of its format. Its
// TLS is nginx's.
func RegistryConfig() []byte {
	return []byte(`version: 0.1
log:
  accesslog: {disabled: true}
  level: warn
storage:
  filesystem: {rootdirectory: /srv/registry}
  delete: {enabled: true}
http:
  addr: ` + registryPort + `
  relativeurls: false
auth:
  htpasswd:
    realm: ` + Registry + `
    path: /etc/valtlab/htpasswd
`)
}

// Htpasswd is one line of an Apache password file, by bcrypt, the only kind that the
// registry reads. The cost is the lowest: every request pays it.
func Htpasswd(user, password string) ([]byte, error) {
	hash, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
	if err != nil {
		return nil, fmt.Errorf("hashing the registry's password: %w", err)
	}
	return []byte(user + ":" + string(hash) + "\n"), nil
}
