package release_test

import (
	"context"
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/sigstore/sigstore/pkg/signature"
	"github.com/theupdateframework/go-tuf/v2/metadata"

	"ipivs.com/valtctl/repos/problem"
	"ipivs.com/valtctl/repos/publish/publishtest"
)

// forge signs metadata with a stolen key and puts it into the repository, and describes
// it for the role above.
func forge[T metadata.Roles](t *testing.T, repo *publishtest.Repository, m *metadata.Metadata[T], name, key string) *metadata.MetaFiles {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(repo.Keys, key+".key"))
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(data)
	private, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := signature.LoadSigner(private, crypto.Hash(0))
	if err != nil {
		t.Fatal(err)
	}
	m.ClearSignatures()
	if _, err := m.Sign(signer); err != nil {
		t.Fatal(err)
	}
	out, err := m.ToBytes(false)
	if err != nil {
		t.Fatal(err)
	}
	repo.Write(t, "metadata/"+name, out)
	sum := sha256.Sum256(out)
	return &metadata.MetaFiles{Length: int64(len(out)), Hashes: metadata.Hashes{"sha256": sum[:]}}
}

// A thief of the channels key and both online keys can move a channel to a release that
// exists. He cannot publish one: its path is not delegated to that key.
func TestChannelsKeyCannotPublishARelease(t *testing.T) {
	t.Parallel()
	repo := publishtest.Published(t)
	manifest := publishtest.Manifest("9.9.9")
	info, err := metadata.TargetFile().FromBytes("releases/9.9.9/manifest.json", manifest, "sha256")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(repo.Dir, "targets/releases/9.9.9"), 0o755); err != nil {
		t.Fatal(err)
	}
	repo.Write(t, "targets/releases/9.9.9/"+hex.EncodeToString(info.Hashes["sha256"])+".manifest.json", manifest)

	channels, err := metadata.Targets().FromBytes(repo.Read(t, "metadata/2.channels.json"))
	if err != nil {
		t.Fatal(err)
	}
	snapshot, err := metadata.Snapshot().FromBytes(repo.Read(t, "metadata/4.snapshot.json"))
	if err != nil {
		t.Fatal(err)
	}
	timestamp, err := metadata.Timestamp().FromBytes(repo.Read(t, "metadata/timestamp.json"))
	if err != nil {
		t.Fatal(err)
	}
	channels.Signed.Version, snapshot.Signed.Version, timestamp.Signed.Version = 3, 5, 5
	channels.Signed.Targets[info.Path] = info
	meta := forge(t, repo, channels, "3.channels.json", "channels")
	meta.Version = 3
	snapshot.Signed.Meta["channels.json"] = meta
	meta = forge(t, repo, snapshot, "5.snapshot.json", "snapshot")
	meta.Version = 5
	timestamp.Signed.Meta["snapshot.json"] = meta
	forge(t, repo, timestamp, "timestamp.json", "timestamp")

	reader := repo.Reader(t, t.TempDir())
	refresh(t, reader)
	if got := reader.State().Roles["channels"].Version; got != 3 {
		t.Fatalf("the forged role was not read: version %d", got)
	}
	if slices.Contains(reader.Versions(), "9.9.9") {
		t.Error("the forged release is listed")
	}
	_, err = reader.Target(context.Background(), info.Path)
	wantProblem(t, err, problem.Trust, "no role")
}

// A timestamp that is signed but names no snapshot must not end the program.
func TestSignedButIncompleteTimestamp(t *testing.T) {
	t.Parallel()
	repo := publishtest.Published(t)
	timestamp, err := metadata.Timestamp().FromBytes(repo.Read(t, "metadata/timestamp.json"))
	if err != nil {
		t.Fatal(err)
	}
	timestamp.Signed.Version = 5
	timestamp.Signed.Meta = map[string]*metadata.MetaFiles{}
	forge(t, repo, timestamp, "timestamp.json", "timestamp")
	wantProblem(t, repo.Reader(t, t.TempDir()).Refresh(context.Background()), problem.Trust, "incomplete")
}
