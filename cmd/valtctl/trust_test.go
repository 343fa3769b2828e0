package main

import (
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"net"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/crypto/ssh"
)

// sshServerCommand starts an SSH server that shows a host key and lets nobody in:
// sshserver NAME sets $NAME_ADDR, $NAME_PORT and $NAME_FINGERPRINT.
func sshServerCommand(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: sshserver NAME")
	}
	name := args[0]
	l, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	ts.Defer(func() { l.Close() })
	_, private, err := ed25519.GenerateKey(rand.Reader)
	ts.Check(err)
	key, err := ssh.NewSignerFromKey(private)
	ts.Check(err)
	_, port, err := net.SplitHostPort(l.Addr().String())
	ts.Check(err)
	ts.Setenv(name+"_ADDR", l.Addr().String())
	ts.Setenv(name+"_PORT", port)
	ts.Setenv(name+"_FINGERPRINT", ssh.FingerprintSHA256(key.PublicKey()))
	go serveHostKey(l, key)
}

func serveHostKey(l net.Listener, key ssh.Signer) {
	config := &ssh.ServerConfig{PasswordCallback: func(ssh.ConnMetadata, []byte) (*ssh.Permissions, error) {
		return nil, errors.New("nobody is let in")
	}}
	config.AddHostKey(key)
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer conn.Close()
			// It ends with an error: nobody can log in.
			_, _, _, _ = ssh.NewServerConn(conn, config)
		}()
	}
}
