package main

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/crypto/ssh"

	"ipivs.com/valtctl/repos/bundle"
	"ipivs.com/valtctl/repos/problem"
)

// bundleMaker signs the bundles of these tests.
func bundleMaker() (ssh.Signer, error) {
	return ssh.NewSignerFromKey(ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize)))
}

// makeBundleCommand writes a bundle of three blobs of a MiB, and its maker's public key:
// makebundle site.bundle maker.pub.
func makeBundleCommand(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: makebundle FILE KEY")
	}
	key, err := bundleMaker()
	ts.Check(err)
	c := &bundle.Contents{Release: "6.4.2", From: ">= 6.2", Maker: "pat@laptop", Ubuntu: []string{"24.04"}, Made: time.Date(2026, 1, 15, 12, 0, 0, 0, time.UTC)}
	blobs := map[string][]byte{}
	for n := range 3 {
		content := bytes.Repeat([]byte{byte(n), 1, 2, 3}, 1<<18)
		sum := sha256.Sum256(content)
		digest := "sha256:" + hex.EncodeToString(sum[:])
		blobs[digest] = content
		c.Blobs = append(c.Blobs, bundle.Blob{Digest: digest, Size: int64(len(content)), MediaType: bundle.MediaDeb})
		c.Files = append(c.Files, bundle.File{Path: fmt.Sprintf("apt/valt/pool/%d.deb", n), Digest: digest})
	}
	_, err = bundle.Create(context.Background(), ts.MkAbs(args[0]), c, key, func(_ context.Context, b bundle.Blob, offset int64) (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(blobs[b.Digest][offset:])), nil
	}, nil)
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), ssh.MarshalAuthorizedKey(key.PublicKey()), 0o600))
}

// TestNoSpaceIsSaidBeforeTheFirstByte, from the signed sizes, less what an earlier run has
// written.
func TestNoSpaceIsSaidBeforeTheFirstByte(t *testing.T) {
	key, err := bundleMaker()
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "site.bundle")
	c := &bundle.Contents{Release: "6.4.2", Made: time.Date(2026, 1, 15, 12, 0, 0, 0, time.UTC),
		Blobs: []bundle.Blob{{Digest: "sha256:" + strings.Repeat("0", 64), Size: 1 << 20, MediaType: bundle.MediaDeb}}}
	if err := enoughSpace(name, c, key); err != nil {
		t.Fatalf("there is space for a MiB: %v", err)
	}
	c.Blobs[0].Size = 1 << 60
	err = enoughSpace(name, c, key)
	if p := problem.All(err); problem.KindOf(err) != problem.Check || !strings.Contains(err.Error(), "it will have 1.153EB") || !strings.Contains(p[0].Fix, "-o FILE") {
		t.Errorf("%v", err)
	}
	if left, err := os.ReadDir(filepath.Dir(name)); err != nil || len(left) != 0 {
		t.Errorf("files were made: %v (%v)", left, err)
	}
}
