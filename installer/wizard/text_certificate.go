package wizard

import (
	"path/filepath"
	"slices"
	"strings"
)

// pkcs12Field is where the answer about the certificate goes if it names a PKCS#12 file.
const pkcs12Field = "tls.pkcs12"

// IsPKCS12 says that a path ends as those of PKCS#12 files do.
func IsPKCS12(path string) bool {
	return slices.Contains([]string{".pfx", ".p12"}, strings.ToLower(filepath.Ext(path)))
}

// certificateEdits has the file name the certificate in its form, and nothing of the other one.
func (g *Guide) certificateEdits(d *document, e Edit) []Edit {
	others := []string{pkcs12Field}
	if IsPKCS12(e.Value) {
		e.Field, others = pkcs12Field, []string{"tls.certificate", "tls.key_file"}
	}
	edits := []Edit{e}
	for _, other := range others {
		if d.find(other) != nil {
			edits = append(edits, Edit{Field: other, Remove: true})
		}
	}
	return edits
}
