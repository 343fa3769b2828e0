package app

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestUnknownCommandsAreRefused(t *testing.T) {
	for _, args := range [][]string{nil, {"shell"}, {"health"}, {"web", "now"}} {
		if err := Run(t.Context(), args); err == nil || !strings.Contains(err.Error(), "want web, db, migrate, messaging") {
			t.Errorf("%q: %v", args, err)
		}
	}
}

func TestPasswordIsHandedToItsUserAlone(t *testing.T) {
	from, to := t.TempDir(), t.TempDir()
	if err := os.WriteFile(filepath.Join(from, "messaging"), []byte("abc\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(to, "messaging"), []byte("of an earlier start"), 0o400); err != nil {
		t.Fatal(err)
	}
	if err := hand(from, to, "messaging", os.Getuid()); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(to, "messaging")
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(path)
	if err != nil || string(content) != "abc" || info.Mode().Perm() != 0o600 {
		t.Errorf("%q with mode %v, %v", content, info.Mode(), err)
	}
}

func TestEmptyPasswordIsNoPassword(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "db-app"), []byte("\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"db-app", "db-root"} {
		if err := hand(dir, dir, name, os.Getuid()); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestInitialisationIsAllOrNothing(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	cut := errors.New("the power went out")
	half := func(_ context.Context, dir string) error {
		return errors.Join(os.Mkdir(dir, 0o700), os.WriteFile(filepath.Join(dir, "half"), nil, 0o600), cut)
	}
	if err := initialise(t.Context(), data, half); !errors.Is(err, cut) {
		t.Fatalf("error: %v", err)
	}
	if _, err := os.Stat(data); !os.IsNotExist(err) {
		t.Fatal("an unfinished database is in the place of a finished one")
	}
	whole := func(_ context.Context, dir string) error { return os.Mkdir(dir, 0o700) }
	if err := initialise(t.Context(), data, whole); err != nil {
		t.Fatal(err)
	}
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(data), "*", "half")); len(left) != 0 {
		t.Errorf("left of the first try: %q", left)
	}
	never := func(context.Context, string) error { t.Error("made twice"); return nil }
	if err := initialise(t.Context(), data, never); err != nil {
		t.Error(err)
	}
}

func TestInitSQLHoldsHashesAlone(t *testing.T) {
	sql := initSQL("it's a secret", "password")
	if strings.Contains(sql, "secret") || strings.Contains(sql, "'password'") {
		t.Errorf("a password stands in %s", sql)
	}
	// SELECT PASSWORD('password') in MariaDB's documentation.
	if !strings.Contains(sql, "'*2470C0C06DEE42FD1618BB99005ADCA2EC9D1E19'") {
		t.Errorf("no hash of the application's password in %s", sql)
	}
}

func TestNginxIsConfiguredForTheSite(t *testing.T) {
	dir := t.TempDir()
	certificate := filepath.Join(dir, "site.pem")
	if err := os.WriteFile(certificate, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	plain, err := nginxConfig(func(string) string { return "" }, dir)
	if err != nil || plain != nginxPlain {
		t.Errorf("without SSL: %s, %v", plain, err)
	}
	env := map[string]string{"VALT_SSL": "true", "VALT_CERTIFICATE": certificate, "VALT_KEY": certificate}
	for range 2 { // a restart finds the links
		sealed, err := nginxConfig(func(n string) string { return env[n] }, dir)
		if err != nil || sealed != nginxTLS {
			t.Errorf("with SSL: %s, %v", sealed, err)
		}
	}
	if target, err := os.Readlink(filepath.Join(dir, "certificate.pem")); err != nil || target != certificate {
		t.Errorf("the certificate is %s, %v", target, err)
	}
	env["VALT_KEY"] = filepath.Join(dir, "absent")
	if _, err := nginxConfig(func(n string) string { return env[n] }, dir); err == nil || !strings.Contains(err.Error(), "VALT_KEY") {
		t.Errorf("without a key: %v", err)
	}
}

func TestOneHalfsEndIsTheOthersToo(t *testing.T) {
	err := supervise(t.Context(), []*exec.Cmd{exec.Command("sleep", "1000"), exec.Command("true")})
	if !errors.Is(err, errEnded) || !strings.Contains(err.Error(), "true") {
		t.Errorf("error: %v", err)
	}
	err = supervise(t.Context(), []*exec.Cmd{exec.Command("sleep", "1000"), exec.Command("/nowhere/nginx")})
	if err == nil || !strings.Contains(err.Error(), "starting /nowhere/nginx") {
		t.Errorf("error: %v", err)
	}
	stopped, cancel := context.WithCancel(t.Context())
	cancel()
	if err := supervise(stopped, []*exec.Cmd{exec.Command("sleep", "1000")}); err != nil {
		t.Errorf("stopped on purpose: %v", err)
	}
}

func TestHealth(t *testing.T) {
	well := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer well.Close()
	ill := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) }))
	defer ill.Close()
	greets, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer greets.Close()
	go func() {
		if conn, err := greets.Accept(); err == nil {
			conn.Write([]byte("hello")) //nolint:errcheck // the test fails by itself
			conn.Close()
		}
		if conn, err := greets.Accept(); err == nil {
			conn.Close()
		}
	}()
	for _, c := range []struct {
		url     string
		healthy bool
	}{
		{well.URL, true}, {ill.URL, false},
		{"greeting://" + greets.Addr().String(), true},
		{"greeting://" + greets.Addr().String(), false}, // closes without a word
		{"http://127.0.0.1:1/", false}, {"greeting://127.0.0.1:1", false}, {"http://%zz", false},
	} {
		if err := health(t.Context(), c.url); (err == nil) != c.healthy {
			t.Errorf("%s: %v", c.url, err)
		}
	}
}
