package app

import (
	"errors"
	"fmt"
	"os"
	"syscall"
)

var errEnded = errors.New("it should run for good")

func errOr(err, otherwise error) error {
	if err != nil {
		return err
	}
	return otherwise
}

// messaging hands Node.js its password and becomes it, as a user who owns nothing.
func messaging() error {
	if err := hand(secretsDir, runDir, "messaging", uidNode); err != nil {
		return err
	}
	return become(uidNode, "/usr/bin/node", "/srv/valt/server.js")
}

// become replaces this process, under another user. It returns only on failure.
func become(uid int, argv ...string) error {
	if err := errors.Join(syscall.Setgroups(nil), syscall.Setgid(uid), syscall.Setuid(uid)); err != nil {
		return fmt.Errorf("becoming user %d: %w", uid, err)
	}
	if err := syscall.Exec(argv[0], argv, os.Environ()); err != nil {
		return fmt.Errorf("becoming %s: %w", argv[0], err)
	}
	return nil
}
