package apt_test

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"strings"
	"testing"
	"time"

	"ipivs.com/valtctl/repos/problem"
)

func TestListsThatAreTooLongAreNotRead(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func(*shelf)
		says  string
	}{
		"a signed index without end":                        {func(s *shelf) { s.files["/dists/noble/InRelease"] = bytes.Repeat([]byte("x"), 4<<20+1) }, "longer than the 4194304 bytes"},
		"a list longer than it is signed for":               {func(s *shelf) { s.files[s.packed()] = append(s.files[s.packed()], 0) }, "longer than the"},
		"a list that unpacks to more than it is signed for": {func(s *shelf) { s.signFor(t, s.files[s.packed()], 10) }, "unpacks to more than the 10 bytes"},
		"a list cut short": {func(s *shelf) {
			s.files[s.packed()] = s.files[s.packed()][:30]
			s.sign(t)
		}, "unpacking it"},
		"a list that is not listed": {func(s *shelf) {
			s.list = "contrib/binary-amd64/Packages"
			s.sign(t)
		}, "lists neither main/binary-amd64/Packages.gz nor"},
	} {
		s := offer(t, "valt-host 1")
		c.spoil(s)
		if _, err := s.index(t, "valt", time.Now()); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestListOfImpossibleSizeIsNotAskedFor(t *testing.T) {
	s := offer(t, "valt-host 1")
	text := fmt.Sprintf("Date: %s\nSHA256:\n %064d %d %s.gz\n", time.Now().UTC().Format(time.RFC1123), 0, 256<<20+1, s.list)
	s.files["/dists/noble/InRelease"] = sign(t, s.signer, text)
	if _, err := s.index(t, "valt", time.Now()); err == nil || !strings.Contains(err.Error(), "more than 268435456") {
		t.Errorf("got %v", err)
	}
	if len(s.asked) != 1 {
		t.Errorf("asked for %v", s.asked)
	}
}

func TestListIsTakenByItsHashWhereTheRepositoryKeepsItSo(t *testing.T) {
	s := offer(t, "valt-host 1")
	s.head = "Acquire-By-Hash: yes\n"
	s.sign(t)
	if x := s.indexed(t, "valt"); len(x.Packages) != 1 {
		t.Errorf("a mirror without files by their hash: %d packages", len(x.Packages))
	}
	list := s.files[s.packed()]
	s.files["/dists/noble/main/binary-amd64/by-hash/SHA256/"+fmt.Sprintf("%x", sha256.Sum256(list))] = list
	s.files[s.packed()] = gzipped(t, []byte(stanza("valt-host 2"))) // published since
	x := s.indexed(t, "valt")
	if len(x.Packages) != 1 || x.Packages[0].Version != "1" || !bytes.Equal(x.Files[strings.TrimPrefix(s.packed(), "/")], list) {
		t.Errorf("the list of that moment was not taken: %+v", x.Packages)
	}
	s.files["/dists/noble/main/binary-amd64/by-hash/SHA256/"+fmt.Sprintf("%x", sha256.Sum256(list))] = bytes.Repeat([]byte("x"), len(list))
	if _, err := s.index(t, "valt", time.Now()); err == nil {
		t.Error("both are others now, and one was taken")
	}
	s.files[s.packed()] = bytes.Repeat([]byte("x"), len(list))
	if _, err := s.index(t, "valt", time.Now()); problem.KindOf(err) != problem.Trust {
		t.Errorf("both are others now: %v", err)
	}
}
