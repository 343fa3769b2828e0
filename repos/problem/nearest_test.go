package problem

import "testing"

func TestNearest(t *testing.T) {
	words := []string{"hosts", "clients", "admins", "network"}
	for typed, want := range map[string]string{"host": "hosts", "client": "clients", "netwrok": "network", "hosts": "hosts", "admin": "admins"} {
		if got := Nearest(typed, words); got != want {
			t.Errorf("nearest to %q is %q, want %q", typed, got, want)
		}
	}
	if got := Nearest("x", []string{"a", "b"}); got != "a" {
		t.Errorf("of equals got %q, want the first", got)
	}
	if got := Nearest("x", nil); got != "" {
		t.Errorf("without words got %q", got)
	}
}
