package site

import (
	"path/filepath"
	"testing"
)

func TestSampleSitesParse(t *testing.T) {
	files, err := filepath.Glob("../../testdata/network/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("finding sample sites: %v, %d found", err, len(files))
	}
	for _, f := range files {
		t.Run(filepath.Base(f), func(t *testing.T) {
			if _, err := Load(f, ""); err != nil {
				t.Error(err)
			}
		})
	}
}
