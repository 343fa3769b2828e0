package apt_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"ipivs.com/valtctl/repos/apt"
)

func TestWhatIsSaidOfAnIndexBeforeItIsTrusted(t *testing.T) {
	e := signer(t)
	signed := sign(t, e, releaseText)
	r, err := apt.ReadUnverified([]byte(strings.Replace(string(signed), "amd64 i386", "riscv64", 1)))
	if err != nil || len(r.Architectures) != 1 {
		t.Errorf("got %v, %v", r.Architectures, err)
	}
	if got, want := fmt.Sprint(apt.Signers(signed)), fmt.Sprintf("[%X]", e.PrimaryKey.Fingerprint); got != want {
		t.Errorf("signers %s, want %s", got, want)
	}
	if _, err := apt.ReadUnverified([]byte("Origin: x\n")); err == nil {
		t.Error("a text without a signature was read")
	}
	if got := apt.Signers([]byte("Origin: x\n")); got != nil {
		t.Errorf("signers of nothing: %v", got)
	}
}

func TestSignatureIsJudgedAsOfATime(t *testing.T) {
	e := signer(t)
	signed := sign(t, e, releaseText)
	keys, err := apt.ReadKeyring(public(t, e, false))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := apt.ReadInRelease(signed, keys, time.Now().Add(time.Hour)); err != nil {
		t.Errorf("an hour after: %v", err)
	}
	if _, err := apt.ReadInRelease(signed, keys, time.Now().Add(-time.Hour)); err == nil {
		t.Error("verified an hour before it was made")
	}
}
