package certificate

import (
	"encoding/asn1"
)

// isPKCS12 says that content begins as a PFX does: a sequence of the version 3 and a content
// info (RFC 7292, section 4).
func isPKCS12(content []byte) bool {
	var pfx struct {
		Version  int
		AuthSafe asn1.RawValue
		MacData  asn1.RawValue `asn1:"optional"`
	}
	if _, err := asn1.Unmarshal(content, &pfx); err != nil {
		return false
	}
	return pfx.Version == 3 && pfx.AuthSafe.Tag == asn1.TagSequence && pfx.AuthSafe.IsCompound
}

// isEncryptedPKCS8 says that content is an algorithm and an octet string (RFC 5208, section 6).
func isEncryptedPKCS8(content []byte) bool {
	var info struct {
		Algorithm struct {
			ID         asn1.ObjectIdentifier
			Parameters asn1.RawValue `asn1:"optional"`
		}
		Data []byte
	}
	_, err := asn1.Unmarshal(content, &info)
	return err == nil
}
